<?php

declare(strict_types=1);

namespace PhplayerExample\Greeting;

/**
 * Greets somebody by name.
 */
final class Greeter
{
    public function __construct(private readonly string $salutation = 'Hello')
    {
    }

    public function greet(string $name): string
    {
        $name = trim($name);

        return sprintf('%s, %s', $this->salutation, $name === '' ? 'stranger' : $name);
    }
}

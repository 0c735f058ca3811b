<?php

declare(strict_types=1);

use Phplayer\Context;

/**
 * The handler: Lambda calls it with each event, and what it returns is the answer, as JSON.
 *
 * @param array{name?: string} $event
 */
function index(array $event, Context $context): string
{
    return 'Hello, ' . ($event['name'] ?? 'world');
}

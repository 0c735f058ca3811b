<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * Finds what `_HANDLER` names:
 *
 *     index                    function index() of src/index.php
 *     path/file.function       that function of path/file.php
 *     path/file.php            the callable which that file returns
 *     Vendor\Class             an object of that class, called
 *     Vendor\Class::method     that method, static or not
 *
 * Files are looked up in the function's folder, classes through the autoloaders.
 */
final class Handler
{
    private const FORMS = 'Use index (function index of src/index.php), path/file.function, path/file.php '
        . '(returning a callable), Vendor\Class or Vendor\Class::method.';

    /** Load the autoloaders: of the function's own vendor folder, or of the layer's and the function's composer.json. */
    public static function autoload(string $root, string $opt): void
    {
        if (\is_file("{$root}/vendor/autoload.php")) {
            self::required("{$root}/vendor/autoload.php");
            return;
        }
        if (\is_file("{$opt}/vendor/autoload.php")) {
            self::required("{$opt}/vendor/autoload.php");
        }
        if (\is_file("{$root}/composer.json")) {
            require __DIR__ . '/RootAutoload.php';
            RootAutoload::register($root);
        }
    }

    /**
     * Return a closure that takes the event and the context.
     *
     * @throws NoSuchHandler
     * @throws \Throwable whatever the handler's file or constructor throws
     */
    public static function find(string $name, string $root): \Closure
    {
        if ($name === '') {
            throw new NoSuchHandler('No handler is set. ' . self::FORMS);
        }
        if (\str_ends_with($name, '.php')) {
            $found = self::returned($name, self::path($root, $name));
        } elseif (\strpbrk($name, './') !== false) {
            $found = self::ofFile($name, $root);
        } elseif (\str_contains($name, '\\') || \str_contains($name, '::')) {
            $found = self::ofClass($name);
        } else {
            $found = self::named($name, $name, self::path($root, "src/{$name}.php"));
        }
        return self::checked($name, $found);
    }

    private static function ofFile(string $name, string $root): \Closure
    {
        $dot = \strrpos($name, '.');
        if ($dot === false || \str_contains(\substr($name, $dot), '/') || $dot === \strlen($name) - 1) {
            throw new NoSuchHandler("The handler '{$name}' names a file but no function in it. " . self::FORMS);
        }
        return self::named($name, \substr($name, $dot + 1), self::path($root, \substr($name, 0, $dot) . '.php'));
    }

    private static function named(string $name, string $function, string $file): \Closure
    {
        if (!\in_array(\realpath($file), \get_included_files(), true)) { // composer.json's "files" may name it too
            self::load($name, $file, "function {$function}()");
        }
        if (!\function_exists($function)) {
            throw new NoSuchHandler(
                "The handler '{$name}' looks for function {$function}() in {$file}, which does not define it."
                . self::defined($file)
            );
        }
        return $function(...);
    }

    private static function returned(string $name, string $file): \Closure
    {
        $value = self::load($name, $file, 'a callable');
        if (!\is_callable($value)) {
            $type = \get_debug_type($value);
            $hint = $value === 1 ? ' (or nothing: is there a return statement?)' : '';
            throw new NoSuchHandler(
                "The handler '{$name}' looks for a callable returned by {$file}, which returned {$type}{$hint}."
            );
        }
        return $value(...);
    }

    private static function ofClass(string $name): \Closure
    {
        [$class, $method] = \explode('::', $name, 2) + [1 => '__invoke'];
        $class = \ltrim($class, '\\');
        if (!\class_exists($class)) {
            throw new NoSuchHandler(
                "The handler '{$name}' looks for class {$class}, which no autoloader finds."
                . ' Check its namespace, its file, and "autoload" in composer.json.'
            );
        }
        $reflection = new \ReflectionClass($class);
        $where = $reflection->getFileName() . ':' . $reflection->getStartLine();
        if (!$reflection->hasMethod($method) || !$reflection->getMethod($method)->isPublic()) {
            throw new NoSuchHandler(
                "The handler '{$name}' looks for a public method {$method}() of class {$class} ({$where}),"
                . ' which has none.'
            );
        }
        if ($reflection->getMethod($method)->isStatic()) {
            return $reflection->getMethod($method)->getClosure();
        }
        if (!$reflection->isInstantiable()
            || (int) $reflection->getConstructor()?->getNumberOfRequiredParameters() > 0) {
            throw new NoSuchHandler(
                "The handler '{$name}' needs an object of class {$class} ({$where}),"
                . ' which cannot be made without arguments.'
            );
        }
        return $reflection->getMethod($method)->getClosure($reflection->newInstance());
    }

    private static function load(string $name, string $file, string $wanted): mixed
    {
        if (!\is_file($file)) {
            throw new NoSuchHandler("The handler '{$name}' looks for {$wanted} in {$file}, which does not exist.");
        }
        return self::required($file);
    }

    /** Run a file without showing it our variables, nor this class: a closure made in it would be taken for one of ours. */
    private static function required(string $file): mixed
    {
        return \Closure::bind(static fn (): mixed => require \func_get_arg(0), null, null)($file);
    }

    /** Refuse at start-up what would fail on every event. */
    private static function checked(string $name, \Closure $found): \Closure
    {
        $function = new \ReflectionFunction($found);
        $where = $function->isInternal() ? '' : " ({$function->getFileName()}:{$function->getStartLine()})";
        if ($function->getNumberOfRequiredParameters() > 2) {
            throw new NoSuchHandler(
                "The handler '{$name}'{$where} requires {$function->getNumberOfRequiredParameters()} parameters;"
                . ' a handler is given two: the event and a Phplayer\Context.'
            );
        }
        $type = ($function->getParameters()[1] ?? null)?->getType();
        if ($type instanceof \ReflectionNamedType && !self::takesContext($type)) {
            throw new NoSuchHandler(
                "The handler '{$name}'{$where} wants {$type} as its second parameter, but is given a Phplayer\Context."
            );
        }
        // PHP's own functions, unlike the user's, refuse arguments that they don't know.
        $surplus = $function->isInternal() && !$function->isVariadic() && $function->getNumberOfParameters() < 2;
        return $surplus ? static fn (mixed $event): mixed => $found($event) : $found;
    }

    private static function takesContext(\ReflectionNamedType $type): bool
    {
        $name = $type->getName();
        return \in_array($name, ['mixed', 'object'], true)
            || (!$type->isBuiltin() && \is_a(Context::class, $name, true));
    }

    private static function path(string $root, string $relative): string
    {
        return \str_starts_with($relative, '/') ? $relative : "{$root}/{$relative}";
    }

    /** ` It defines: a(), b().`, for a file that defines functions. */
    private static function defined(string $file): string
    {
        $names = [];
        foreach (\get_defined_functions()['user'] as $function) {
            $reflection = new \ReflectionFunction($function);
            if ($reflection->getFileName() === \realpath($file)) {
                $names[] = $reflection->getName() . '()';
            }
        }
        return $names === [] ? '' : ' It defines: ' . \implode(', ', $names) . '.';
    }
}

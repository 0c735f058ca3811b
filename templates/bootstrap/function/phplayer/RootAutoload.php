<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * The autoload section of the function's own composer.json, where the dependencies come from a layer.
 *
 * Paths are below the function's folder. psr-4 and psr-0 are resolved on demand; `files` are loaded once; the
 * classmap is made of the files as they are, on the first class that nothing else finds.
 */
final class RootAutoload
{
    /** @var array<string, list<string>> prefix to folders, longest prefix first */
    private array $psr4 = [];
    /** @var array<string, list<string>> */
    private array $psr0 = [];
    /** @var array<string, string>|null class to file */
    private ?array $classmap = null;

    /** @param array<string, mixed> $section */
    private function __construct(private readonly string $root, private readonly array $section)
    {
        $this->psr4 = $this->prefixes('psr-4');
        $this->psr0 = $this->prefixes('psr-0');
    }

    /**
     * Read composer.json, load its `files`, and serve its classes from now on.
     *
     * @throws \JsonException
     */
    public static function register(string $root): void
    {
        $path = "{$root}/composer.json";
        try {
            $document = \json_decode((string) \file_get_contents($path), true, 512, \JSON_THROW_ON_ERROR);
        } catch (\JsonException $error) {
            throw new \RuntimeException("{$path} is not JSON: {$error->getMessage()}");
        }
        $section = \is_array($document) ? $document['autoload'] ?? [] : [];
        if (!\is_array($section) || $section === []) {
            return;
        }
        $loader = new self($root, $section);
        \spl_autoload_register($loader->load(...));
        $require = static fn (): mixed => require_once \func_get_arg(0);
        foreach ((array) ($section['files'] ?? []) as $file) {
            $require($loader->path((string) $file));
        }
    }

    private function load(string $class): void
    {
        $file = $this->fileOf($class);
        if ($file !== null) {
            (static fn (): mixed => require_once \func_get_arg(0))($file);
        }
    }

    private function fileOf(string $class): ?string
    {
        foreach ($this->psr4 as $prefix => $folders) {
            if ($prefix === '' || \str_starts_with($class, (string) $prefix)) {
                $relative = \strtr(\substr($class, \strlen((string) $prefix)), '\\', '/') . '.php';
                if (($file = self::first($folders, $relative)) !== null) {
                    return $file;
                }
            }
        }
        foreach ($this->psr0 as $prefix => $folders) {
            if ($prefix === '' || \str_starts_with($class, (string) $prefix)) {
                $name = \strrpos($class, '\\');
                $start = $name === false ? 0 : $name + 1; // underscores are folders in the class's own name only
                $relative = \strtr(\substr($class, 0, $start), '\\', '/')
                    . \strtr(\substr($class, $start), '_', '/') . '.php';
                if (($file = self::first($folders, $relative)) !== null) {
                    return $file;
                }
            }
        }
        if (!isset($this->section['classmap'])) {
            return null;
        }
        $this->classmap ??= $this->scan();
        return $this->classmap[$class] ?? null;
    }

    /** @param list<string> $folders */
    private static function first(array $folders, string $relative): ?string
    {
        foreach ($folders as $folder) {
            if (\is_file("{$folder}/{$relative}")) {
                return "{$folder}/{$relative}";
            }
        }
        return null;
    }

    /** @return array<string, list<string>> */
    private function prefixes(string $key): array
    {
        $prefixes = [];
        foreach ((array) ($this->section[$key] ?? []) as $prefix => $folders) {
            $prefixes[$prefix] = \array_map(fn (mixed $folder): string => $this->path((string) $folder), (array) $folders);
        }
        \uksort($prefixes, static fn (string|int $a, string|int $b): int => \strlen((string) $b) - \strlen((string) $a));
        return \array_map(\array_values(...), $prefixes);
    }

    private function path(string $relative): string
    {
        $relative = \trim(\preg_replace('~(?:^|/)\.(?=/|$)~', '', $relative) ?? $relative, '/');
        return $relative === '' ? $this->root : "{$this->root}/{$relative}";
    }

    /** @return array<string, string> */
    private function scan(): array
    {
        require_once __DIR__ . '/ClassScanner.php';
        $excluded = [];
        foreach ((array) ($this->section['exclude-from-classmap'] ?? []) as $pattern) {
            $quoted = \preg_quote($this->path((string) $pattern), '~');
            $excluded[] = \strtr($quoted, ['\*\*' => '.+?', '\*' => '[^/]+?']) . '(?:/|$)';
        }
        $skip = $excluded === [] ? null : '~^(?:' . \implode('|', $excluded) . ')~';
        $classes = [];
        foreach ((array) $this->section['classmap'] as $entry) {
            foreach (\glob($this->path((string) $entry), \GLOB_NOSORT) ?: [] as $path) {
                foreach (self::files($path) as $file) {
                    if ($skip === null || \preg_match($skip, $file) !== 1) {
                        $classes += \array_fill_keys(ClassScanner::classes((string) \file_get_contents($file)), $file);
                    }
                }
            }
        }
        return $classes;
    }

    /** @return list<string> PHP files at or below a path, sorted: which of two equal classes counts must not vary */
    private static function files(string $path): array
    {
        if (\is_file($path)) {
            return [$path];
        }
        $files = [];
        $flags = \FilesystemIterator::SKIP_DOTS | \FilesystemIterator::FOLLOW_SYMLINKS;
        $folder = new \RecursiveDirectoryIterator($path, $flags);
        foreach (new \RecursiveIteratorIterator($folder) as $file) {
            if (\preg_match('~\.(?:php|inc)$~Di', (string) $file) === 1) {
                $files[] = (string) $file;
            }
        }
        \sort($files);
        return $files;
    }
}

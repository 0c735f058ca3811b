<?php

declare(strict_types=1);

namespace Phplayer;

/** Finds which part of a value JSON cannot hold: `$.items[3].name is not valid UTF-8`. */
final class Unencodable
{
    private const DEPTH = 500; // deeper is taken for endless

    /** Return the path and what is wrong there; null when nothing is found. */
    public static function find(mixed $value): ?string
    {
        return (new self())->look($value, '$', []);
    }

    /** @param list<object> $above the objects that hold the value */
    private function look(mixed $value, string $path, array $above): ?string
    {
        if (\is_array($value)) {
            return $this->within($value, $path, $above);
        }
        if (\is_object($value)) {
            if (\in_array($value, $above, true)) {
                return "{$path} holds itself (an object of class " . \get_debug_type($value) . ')';
            }
            $above[] = $value;
            if ($value instanceof \JsonSerializable) {
                $made = $value->jsonSerialize();
                return $made === $value ? $this->within($made, $path, $above) : $this->look($made, $path, $above);
            }
            if ($value instanceof \UnitEnum) {
                return $value instanceof \BackedEnum
                    ? $this->look($value->value, $path, $above)
                    : "{$path} is a case of the enum " . $value::class . ', which has no values';
            }
            return $this->within($value, $path, $above);
        }
        return match (true) {
            \is_float($value) && !\is_finite($value) => "{$path} is " . (\is_nan($value) ? 'NAN' : (string) $value),
            \is_string($value) && !self::isText($value) => "{$path} is not valid UTF-8",
            \is_resource($value) => "{$path} is a resource (" . \get_resource_type($value) . ')',
            \gettype($value) === 'resource (closed)' => "{$path} is a closed resource",
            default => null,
        };
    }

    /**
     * @param array<mixed>|object $holder
     * @param list<object> $above
     */
    private function within(array|object $holder, string $path, array $above): ?string
    {
        if (\substr_count($path, '.') + \substr_count($path, '[') > self::DEPTH) {
            return \substr($path, 0, 200) . '... goes on without end, or is nested too deeply';
        }
        $list = \is_array($holder) && \array_is_list($holder);
        // From here, outside of its class, only what is public is seen; as json_encode() does.
        foreach (\is_object($holder) ? \get_object_vars($holder) : $holder as $key => $value) {
            $key = (string) $key;
            if (!self::isText($key)) {
                return "{$path} has a key that is not valid UTF-8";
            }
            $plain = \preg_match('~^[A-Za-z_]\w*$~D', $key) === 1;
            $step = $list ? "[{$key}]" : ($plain ? ".{$key}" : '[' . \json_encode($key, \JSON_UNESCAPED_SLASHES) . ']');
            $found = $this->look($value, $path . $step, $above);
            if ($found !== null) {
                return $found;
            }
        }
        return null;
    }

    private static function isText(string $text): bool
    {
        return \preg_match('~~u', $text) === 1;
    }
}

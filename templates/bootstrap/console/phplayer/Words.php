<?php

declare(strict_types=1);

namespace Phplayer;

/** A command line that no shell would take. */
final class BadCommand extends \RuntimeException
{
}

/**
 * Splits a command line into words as a POSIX shell does, but expands nothing: no variables, globs, pipes or
 * substitutions. What means one of these to a shell is an ordinary character here.
 *
 * https://pubs.opengroup.org/onlinepubs/9699919799/utilities/V3_chap02.html#tag_18_02
 */
final class Words
{
    private const BLANK = " \t\n\r";

    /**
     * @return list<string>
     *
     * @throws BadCommand for a quote or an escape without an end, or a NUL byte
     */
    public static function split(string $line): array
    {
        if (\str_contains($line, "\0")) {
            throw new BadCommand('The command holds a NUL byte, which no argument can.');
        }
        $words = [];
        $word = null;
        for ($at = 0, $length = \strlen($line); $at < $length;) {
            $character = $line[$at];
            if (\str_contains(self::BLANK, $character)) {
                if ($word !== null) {
                    $words[] = $word;
                    $word = null;
                }
                ++$at;
            } elseif ($character === "'") {
                $end = \strpos($line, "'", $at + 1);
                if ($end === false) {
                    throw self::unclosed('single quote', $at);
                }
                $word .= \substr($line, $at + 1, $end - $at - 1);
                $at = $end + 1;
            } elseif ($character === '"') {
                [$quoted, $at] = self::quoted($line, $at);
                $word .= $quoted;
            } elseif ($character === '\\') {
                if ($at + 1 === $length) {
                    throw new BadCommand('The command ends with a backslash, which escapes nothing.');
                }
                if ($line[$at + 1] !== "\n") { // an escaped line end is none
                    $word .= $line[$at + 1];
                }
                $at += 2;
            } else {
                $plain = \strcspn($line, self::BLANK . "'\"\\", $at);
                $word .= \substr($line, $at, $plain);
                $at += $plain;
            }
        }
        return $word === null ? $words : [...$words, $word];
    }

    /**
     * @return array{string, int} what the double quotes at this place hold, and where it goes on after them
     */
    private static function quoted(string $line, int $start): array
    {
        $text = '';
        for ($at = $start + 1, $length = \strlen($line); $at < $length;) {
            if ($line[$at] === '"') {
                return [$text, $at + 1];
            }
            if ($line[$at] === '\\' && $at + 1 < $length) {
                $next = $line[$at + 1];
                $text .= match (true) {
                    $next === "\n" => '',
                    \str_contains('$`"\\', $next) => $next,
                    default => '\\' . $next,
                };
                $at += 2;
                continue;
            }
            $plain = \max(1, \strcspn($line, '"\\', $at));
            $text .= \substr($line, $at, $plain);
            $at += $plain;
        }
        throw self::unclosed('double quote', $start);
    }

    private static function unclosed(string $what, int $at): BadCommand
    {
        return new BadCommand("The command has a {$what} at character " . ($at + 1) . ' that is not closed.');
    }
}

<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * Names the classes, interfaces, traits and enums that a PHP file declares, without running it.
 *
 * It reads with one expression instead of the tokenizer, which a runtime may lack. Strings, comments, heredocs and
 * text outside of PHP are passed over as wholes, so that words in them are not mistaken for code.
 */
final class ClassScanner
{
    private const NAME = '[a-zA-Z_\x80-\xff][\w\x80-\xff]*+';

    /** What may stand between two words. */
    private const GAP = '(?:\s|/\*(?s:.*?)\*/|(?://|\#(?!\[))[^\r\n]*+)';

    /** @return list<string> */
    public static function classes(string $code): array
    {
        if (\preg_match_all(self::pattern(), $code, $matches, \PREG_SET_ORDER | \PREG_UNMATCHED_AS_NULL) === false) {
            return [];
        }
        $namespace = '';
        $classes = [];
        foreach ($matches as $match) {
            $class = $match['class'] ?? $match['enum'] ?? null;
            if ($class !== null) {
                $classes[] = $namespace . $class;
            } elseif (isset($match['scope'])) {
                $name = (string) \preg_replace('~' . self::GAP . '~', '', $match['name'] ?? '');
                $namespace = $name === '' ? '' : $name . '\\';
            }
        }
        return $classes;
    }

    private static function pattern(): string
    {
        $name = self::NAME;
        $gap = self::GAP;
        return <<<REGEX
            ~
              (?: \A | \?> ) (?s: (?! <\?(?:php\b|=) ) . )*+ (?: <\?(?:php\b|=) | \z )
            | /\* (?s:.*?) (?: \*/ | \z )
            | (?: // | \#(?!\[) ) (?: [^\\r\\n?] | \?(?!>) )*+
            | ' (?: [^'\\\\]++ | \\\\ (?s:.) )*+ (?: ' | \z )
            | " (?: [^"\\\\]++ | \\\\ (?s:.) )*+ (?: " | \z )
            | ` (?: [^`\\\\]++ | \\\\ (?s:.) )*+ (?: ` | \z )
            | <<<[ \\t]*+ (["']?) (?<label> {$name} ) \g{-2} \R (?s:.*?) ^[ \\t]*+ \k<label> (?! [\w\\x80-\\xff] )
            | (?<! [\w\\x80-\\xff\$\\\\:>] ) __halt_compiler (?! [\w\\x80-\\xff] ) (?s:.*+)
            | (?<! [\w\\x80-\\xff\$\\\\:>] )
              (?<scope> namespace ) (?: {$gap}++ (?<name> {$name} (?: {$gap}*+ \\\\ {$gap}*+ {$name} )*+ ) )?
              {$gap}*+ [;{]
            | (?<! [\w\\x80-\\xff\$\\\\:>] )
              (?: (?: class | interface | trait ) {$gap}++ (?<class> {$name} )
                  (?= {$gap}*+ (?: \{ | extends\b | implements\b ) )
                | enum {$gap}++ (?<enum> {$name} ) (?= {$gap}*+ (?: \{ | : | implements\b ) )
              )
            ~xmi
            REGEX;
    }
}

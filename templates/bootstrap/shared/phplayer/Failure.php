<?php

declare(strict_types=1);

namespace Phplayer;

/** A failure in the form that Lambda and its users know: errorType, errorMessage, stackTrace. */
final readonly class Failure
{
    private const MESSAGE_LIMIT = 65536; // bytes
    private const FRAMES = 100;
    private const CAUSES = 10;

    private const FLAGS = \JSON_UNESCAPED_SLASHES | \JSON_UNESCAPED_UNICODE | \JSON_INVALID_UTF8_SUBSTITUTE
        | \JSON_PARTIAL_OUTPUT_ON_ERROR;

    /** Of an error that ends PHP (error_get_last). */
    private const FATAL = \E_ERROR | \E_PARSE | \E_CORE_ERROR | \E_COMPILE_ERROR | \E_USER_ERROR | \E_RECOVERABLE_ERROR;

    /** @param list<string> $trace */
    private function __construct(
        public string $type,
        public string $message,
        public array $trace,
        public ?self $cause = null,
    ) {
    }

    public static function of(\Throwable $thrown, int $depth = self::CAUSES): self
    {
        $previous = $depth > 0 ? $thrown->getPrevious() : null;
        $message = $thrown->getMessage();
        [$type, $message, $trace] = match (true) {
            $thrown instanceof BadResult => ['Function.BadResult', $message, []],
            $thrown instanceof ResponseTooLarge
                => ['Function.ResponseSizeTooLarge', "The response is larger than Lambda takes: {$message}", []],
            // get_debug_type() names an anonymous class without a NUL byte and a path.
            default => [\get_debug_type($thrown), $message, self::frames($thrown)],
        };
        return new self(
            $type,
            $message,
            $trace,
            $previous === null ? null : self::of($previous, $depth - 1),
        );
    }

    /** Under a type and message of ours; the trace is that of what was thrown, which is the cause unless told not to be. */
    public static function named(string $type, string $message, ?\Throwable $thrown = null, bool $cause = true): self
    {
        $known = $thrown === null ? null : self::of($thrown);
        return new self($type, $message, $known->trace ?? [], $cause ? $known : null);
    }

    /**
     * Of a PHP that is ending, by exit() or by a fatal error.
     *
     * @param array{type: int, message: string, file: string, line: int}|null $error of error_get_last()
     * @param string $printed the end of what was printed
     */
    public static function ending(?array $error, string $printed): self
    {
        if ($error === null || ($error['type'] & self::FATAL) === 0) {
            $printed = \trim($printed);
            $said = $printed === '' ? ', without a word.' : ". What was printed last: {$printed}";
            return new self('Function.Exit', "The function ended PHP with exit() or die(){$said}", []);
        }
        $message = $error['message'];
        $type = \str_starts_with($message, 'Allowed memory size') ? 'Function.OutOfMemory' : 'Function.FatalError';
        // PHP 8.5 keeps a stack of fatal errors, in the form of debug_backtrace().
        return new self($type, $message, self::path($error['file'], $error['line'], $error['trace'] ?? []));
    }

    /** The value of Lambda-Runtime-Function-Error-Type: category.reason. */
    public function category(): string
    {
        return \preg_match('~^(?:Runtime|Function)\.\w+$~D', $this->type) === 1 ? $this->type : 'Function.Unhandled';
    }

    public function json(): string
    {
        return (string) \json_encode($this->document(), self::FLAGS);
    }

    /** @return array<string, mixed> */
    public function document(): array
    {
        $document = [
            'errorType' => $this->type,
            'errorMessage' => \strlen($this->message) > self::MESSAGE_LIMIT
                ? \substr($this->message, 0, self::MESSAGE_LIMIT) . ' [cut]'
                : $this->message,
            'stackTrace' => $this->trace,
        ];
        return $this->cause === null ? $document : $document + ['cause' => $this->cause->document()];
    }

    /**
     * `file:line function` from where it was thrown outwards, without arguments and without our own frames.
     *
     * @return list<string>
     */
    private static function frames(\Throwable $thrown): array
    {
        return self::path($thrown->getFile(), $thrown->getLine(), $thrown->getTrace());
    }

    /**
     * @param list<array<string, mixed>> $trace
     *
     * @return list<string>
     */
    private static function path(string $file, int $line, array $trace): array
    {
        $frames = [];
        $origin = "{$file}:{$line}";
        foreach ($trace as $frame) {
            if (\count($frames) === self::FRAMES) {
                break;
            }
            $class = \explode("\0", $frame['class'] ?? '', 2)[0];
            $function = $class . ($frame['type'] ?? '') . $frame['function'];
            if ($file !== '' && !\str_starts_with($file, __DIR__ . '/')) {
                $frames[] = "{$file}:{$line} {$function}";
            }
            $file = $frame['file'] ?? '';
            $line = $frame['line'] ?? 0;
        }
        return $frames === [] ? [$origin] : $frames;
    }
}

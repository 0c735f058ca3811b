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
        return new self(
            $thrown::class,
            $thrown->getMessage(),
            self::frames($thrown),
            $previous === null ? null : self::of($previous, $depth - 1),
        );
    }

    /** Under a type and message of ours; the trace is that of what was thrown, and it is the cause. */
    public static function named(string $type, string $message, ?\Throwable $thrown = null): self
    {
        $cause = $thrown === null ? null : self::of($thrown);
        return new self($type, $message, $cause->trace ?? [], $cause);
    }

    /**
     * Of a PHP that is ending, by exit() or by a fatal error.
     *
     * @param array{type: int, message: string, file: string, line: int}|null $error of error_get_last()
     */
    public static function ending(?array $error): self
    {
        if ($error === null || ($error['type'] & self::FATAL) === 0) {
            return new self('Function.Exit', 'The handler ended PHP with exit() or die().', []);
        }
        $message = $error['message'];
        $type = \str_starts_with($message, 'Allowed memory size') ? 'Function.OutOfMemory' : 'Function.FatalError';
        return new self($type, $message, ["{$error['file']}:{$error['line']}"]);
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

    /** One line for the log. */
    public function logLine(string $requestId): string
    {
        return (string) \json_encode(['level' => 'ERROR', 'requestId' => $requestId] + $this->document(), self::FLAGS);
    }

    /** @return array<string, mixed> */
    private function document(): array
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
        $frames = [];
        [$file, $line] = [$thrown->getFile(), $thrown->getLine()];
        foreach ($thrown->getTrace() as $frame) {
            $function = ($frame['class'] ?? '') . ($frame['type'] ?? '') . $frame['function'];
            if ($file !== '' && !\str_starts_with($file, __DIR__ . '/')) {
                $frames[] = "{$file}:{$line} {$function}";
            }
            $file = $frame['file'] ?? '';
            $line = $frame['line'] ?? 0;
        }
        if ($frames === []) {
            $frames[] = "{$thrown->getFile()}:{$thrown->getLine()}";
        }
        return \array_slice($frames, 0, self::FRAMES);
    }
}

<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * The function's log: stderr, which Lambda sends to CloudWatch, where each line is an event of its own.
 *
 * AWS_LAMBDA_LOG_FORMAT=JSON makes one JSON object of each record; as text, a record of several lines has carriage
 * returns between them, which CloudWatch shows as line breaks. AWS_LAMBDA_LOG_LEVEL is the least level written.
 */
final class Log
{
    private const LEVELS = ['TRACE' => 0, 'DEBUG' => 1, 'INFO' => 2, 'WARN' => 3, 'ERROR' => 4, 'FATAL' => 5];
    private const FLAGS = \JSON_UNESCAPED_SLASHES | \JSON_UNESCAPED_UNICODE | \JSON_INVALID_UTF8_SUBSTITUTE
        | \JSON_PARTIAL_OUTPUT_ON_ERROR;
    private const KEPT = 1000; // bytes of what an event printed, to tell with an exit
    private const LINE = 65536; // bytes of a printed line that does not end

    /** @var array<int, array{string, string}> PHP's word for each kind of error, and our level */
    private const ERRORS = [
        \E_WARNING => ['Warning', 'WARN'],
        \E_USER_WARNING => ['Warning', 'WARN'],
        \E_NOTICE => ['Notice', 'INFO'],
        \E_USER_NOTICE => ['Notice', 'INFO'],
        \E_DEPRECATED => ['Deprecated', 'DEBUG'],
        \E_USER_DEPRECATED => ['Deprecated', 'DEBUG'],
    ];

    /** Of the event being worked on; empty between events. */
    public static string $requestId = '';

    /** The handler was interrupted, in our output handler perhaps: PHP does not call one again that has thrown. */
    public static bool $interrupted = false;

    /** Called when PHP ends its output, want of memory having ended all else. */
    public static ?\Closure $exhausted = null;

    /** The end of what the event has printed so far. */
    public static string $printed = '';

    private static bool $json = false;
    private static int $least = 0;
    private static string $line = ''; // printed, and not yet at its end
    /** @var list<string> the output handlers when only ours is there */
    private static array $handlers = [];
    private static \Closure $onError;
    /**
     * Our own of stdout and stderr: a function may close the others, or leave no descriptor to open them anew.
     *
     * @var array<string, resource>
     */
    private static array $streams = [];

    /** Take over what PHP prints and what it has to complain about. */
    public static function start(): void
    {
        self::$json = \strcasecmp((string) \getenv('AWS_LAMBDA_LOG_FORMAT'), 'json') === 0;
        self::$least = self::LEVELS[\strtoupper((string) \getenv('AWS_LAMBDA_LOG_LEVEL'))] ?? 0;
        // PHP's own errors are told once: here, or by the report of what they ended.
        \ini_set('display_errors', '0');
        \ini_set('log_errors', '0');
        \ignore_user_abort(true); // to print where STDOUT was closed ends PHP otherwise
        self::stream('stdout');
        self::stream('stderr');
        self::$onError = self::complained(...);
        \set_error_handler(self::$onError);
        self::capture();
        self::$handlers = \ob_list_handlers();
    }

    /** A function that handles errors itself may leave some to PHP, which then has to log them. */
    public static function handedOver(): void
    {
        $handler = \set_error_handler(self::$onError);
        \restore_error_handler();
        if ($handler !== self::$onError) {
            \ini_set('log_errors', '1');
        }
    }

    /** @param array<string, mixed> $context added to a record in JSON, appended as JSON to one in text */
    public static function write(string $level, string $message, array $context = []): void
    {
        $level = isset(self::LEVELS[$level]) ? $level : 'INFO';
        if (self::LEVELS[$level] < self::$least) {
            return;
        }
        if (self::$json) {
            self::record(['level' => $level, 'message' => $message] + $context);
            return;
        }
        $message = \rtrim($message, "\r\n");
        if ($context !== []) {
            $message .= ' ' . \json_encode($context, self::FLAGS);
        }
        self::put(\strtr(\str_replace("\r\n", "\n", $message), "\n", "\r"));
    }

    /** @param array<string, mixed> $document of what failed; JSON in either format */
    public static function failure(array $document): void
    {
        self::endLine();
        self::record(['level' => 'ERROR'] + $document);
    }

    /** What was printed ends here: buffers that were left open and a line without an end go out. */
    public static function endOutput(): void
    {
        if (self::$interrupted || \ob_list_handlers() !== self::$handlers) {
            self::closeBuffers();
        }
        if (self::$line !== '') {
            self::endLine();
        }
        self::$printed = '';
    }

    /** Send what was printed into buffers that were left open to the log, and not into the next event. */
    public static function closeBuffers(): void
    {
        $ours = !self::$interrupted && (\ob_list_handlers()[0] ?? '') === (self::$handlers[0] ?? '');
        self::$interrupted = false;
        $rest = '';
        for ($left = \ob_get_level(), $base = $ours ? 1 : 0; $left > $base && \ob_get_level() > $base; --$left) {
            try {
                if (!$ours) { // removed by the function, or of no use: there is nothing that they could be flushed into
                    $rest = \ob_get_contents() . $rest;
                }
                if (!($ours ? @\ob_end_flush() : @\ob_end_clean())) {
                    break;
                }
            } catch (\Throwable $thrown) { // of a callback that the handler gave to ob_start()
                require_once __DIR__ . '/Failure.php';
                self::failure(Failure::of($thrown)->document());
            }
        }
        if (!$ours) {
            self::capture();
            echo $rest;
        }
    }

    private static function capture(): void
    {
        \ob_start(self::printed(...), 1); // 1: called for each piece, so that the log keeps its order
    }

    /** An output handler. As text, what is printed goes on to stdout as it is. */
    private static function printed(string $data, int $phase): string
    {
        if (($phase & \PHP_OUTPUT_HANDLER_FINAL) !== 0 && self::$exhausted !== null
            && \str_starts_with(\error_get_last()['message'] ?? '', 'Allowed memory size')) {
            (self::$exhausted)();
        }
        self::$printed = \substr(self::$printed . \substr($data, -self::KEPT), -self::KEPT);
        if (!self::$json) {
            self::$line = $data === '' || $data[-1] === "\n" ? '' : '.';
            return $data;
        }
        $lines = \explode("\n", self::$line . $data);
        self::$line = (string) \array_pop($lines);
        if (\strlen(self::$line) > self::LINE) {
            $lines[] = self::$line;
            self::$line = '';
        }
        foreach ($lines as $line) {
            self::write('INFO', $line);
        }
        return '';
    }

    private static function endLine(): void
    {
        $line = self::$line;
        self::$line = '';
        if ($line === '') {
            return;
        }
        if (self::$json) {
            self::write('INFO', $line);
        } else {
            \fwrite(self::stream('stdout'), "\n");
        }
    }

    /** An error handler: it tells, and leaves all else (error_get_last()) to PHP. */
    private static function complained(int $type, string $message, string $file, int $line): bool
    {
        if ((\error_reporting() & $type) !== 0 && isset(self::ERRORS[$type])) {
            [$word, $level] = self::ERRORS[$type];
            if (self::$json) {
                self::write($level, $message, ['errorType' => "PHP {$word}", 'location' => "{$file}:{$line}"]);
            } else {
                self::write($level, "PHP {$word}:  {$message} in {$file} on line {$line}");
            }
        }
        return false;
    }

    /** @param array<string, mixed> $fields */
    private static function record(array $fields): void
    {
        $record = self::$requestId === '' ? [] : ['requestId' => self::$requestId];
        if (self::$json) {
            $now = \explode(' ', \microtime());
            $record = ['timestamp' => \gmdate('Y-m-d\TH:i:s', (int) $now[1]) . \substr($now[0], 1, 4) . 'Z'] + $record;
        }
        self::put((string) \json_encode($record + $fields, self::FLAGS));
    }

    private static function put(string $line): void
    {
        \fwrite(self::stream('stderr'), $line . "\n");
    }

    /** @return resource */
    private static function stream(string $name)
    {
        return self::$streams[$name] ??= \fopen("php://{$name}", 'w');
    }
}

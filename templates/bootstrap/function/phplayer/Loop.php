<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * Start-up, then one event after the other in the same PHP.
 *
 * Whatever ends the work on an event, its answer or its failure is sent. What leaves PHP sound is reported and the
 * loop goes on; what does not (exit, fatal errors) is reported at shutdown, and Lambda starts a new PHP.
 */
final class Loop
{
    private const RESULT = \JSON_THROW_ON_ERROR | \JSON_PRESERVE_ZERO_FRACTION | \JSON_UNESCAPED_SLASHES;
    private const DEPTH = 4096; // of nested arrays in an event
    private const RESERVE = 16; // MB granted on top of what is in use, to report that memory is exhausted
    private const OVERHEAD = 40; // MB that a function's memory holds beside what PHP counts: PHP itself, the reserve

    private bool $starting = true;
    private string $requestId = ''; // of the event being worked on
    private bool $ended = false;

    private function __construct(private readonly RuntimeApi $api, private readonly string $opt)
    {
    }

    public static function start(string $opt): never
    {
        $address = (string) \getenv('AWS_LAMBDA_RUNTIME_API');
        if ($address === '') {
            self::log('AWS_LAMBDA_RUNTIME_API is not set: this bootstrap runs inside Lambda, or: phplayer invoke');
            exit(1);
        }
        $loop = new self(new RuntimeApi($address), $opt);
        \register_shutdown_function($loop->shutdown(...));
        try {
            $loop->serve($loop->initialise());
        } catch (ConnectionLost | RuntimeApiRefused $reason) {
            $loop->ended = true;
            self::log("The Runtime API cannot be used any more: {$reason->getMessage()}. PHP ends.");
        }
        exit(1);
    }

    /** Write a line to the log of the function. */
    public static function log(string $line): void
    {
        // Opened each time: the function may have closed STDERR.
        \file_put_contents('php://stderr', $line . "\n");
    }

    private function initialise(): \Closure
    {
        try {
            $root = \getenv('LAMBDA_TASK_ROOT') ?: '/var/task';
            $this->limitMemory();
            $this->autoload($root);
            $handler = Handler::find((string) \getenv('_HANDLER'), $root);
            $this->starting = false;
            return $handler;
        } catch (NoSuchHandler $missing) {
            $this->failInit($this->failure()::named('Runtime.NoSuchHandler', $missing->getMessage()));
        } catch (\ParseError $error) {
            $message = "{$error->getMessage()} in {$error->getFile()}:{$error->getLine()}";
            $this->failInit($this->failure()::named('Runtime.HandlerParseError', $message, $error));
        } catch (\Throwable $thrown) {
            $message = 'The function could not be loaded: ' . $thrown::class . ": {$thrown->getMessage()} in "
                . "{$thrown->getFile()}:{$thrown->getLine()}";
            $this->failInit($this->failure()::named('Runtime.HandlerLoadError', $message, $thrown));
        }
    }

    /** Without a limit of its own, PHP must notice before the kernel does that memory is exhausted: only PHP can say where. */
    private function limitMemory(): void
    {
        $size = (int) \getenv('AWS_LAMBDA_FUNCTION_MEMORY_SIZE');
        if ($size > 2 * self::OVERHEAD && \ini_get('memory_limit') === '-1') {
            \ini_set('memory_limit', ($size - self::OVERHEAD) . 'M');
        }
    }

    private function autoload(string $root): void
    {
        if (\is_file("{$root}/vendor/autoload.php")) {
            require "{$root}/vendor/autoload.php";
            return;
        }
        if (\is_file("{$this->opt}/vendor/autoload.php")) {
            require "{$this->opt}/vendor/autoload.php";
        }
        if (\is_file("{$root}/composer.json")) {
            require __DIR__ . '/RootAutoload.php';
            RootAutoload::register($root);
        }
    }

    private function failInit(Failure $failure): never
    {
        $this->ended = true;
        self::log($failure->logLine(''));
        $this->api->failInit($failure->category(), $failure->json());
        exit(1);
    }

    private function serve(\Closure $handler): never
    {
        for (;;) {
            $this->work($handler, $this->api->next());
            $this->requestId = '';
            $this->closeBuffers();
            \gc_collect_cycles();
        }
    }

    private function work(\Closure $handler, Response $event): void
    {
        $this->requestId = $event->headers['lambda-runtime-aws-request-id'];
        try {
            $context = Context::of($event->headers);
            $this->exportTrace($context->traceId);
            $data = \json_decode($event->body, true, self::DEPTH, \JSON_THROW_ON_ERROR);
            unset($event); // a large event is not held twice
            $result = $handler($data, $context);
            if ($result instanceof \Generator) {
                $this->stream($result);
            } else {
                $this->api->respond($this->requestId, $this->encode($result));
            }
        } catch (ConnectionLost | RuntimeApiRefused $reason) {
            throw $reason;
        } catch (ResponseTooLarge $refusal) {
            $message = "The response is larger than Lambda takes: {$refusal->getMessage()}";
            $this->fail($this->failure()::named('Function.ResponseSizeTooLarge', $message));
        } catch (BadResult $bad) {
            $this->fail($this->failure()::named('Function.BadResult', $bad->getMessage()));
        } catch (\Throwable $thrown) {
            $this->fail($this->failure()::of($thrown));
        }
    }

    private function encode(mixed $result): string
    {
        try {
            return \json_encode($result, self::RESULT);
        } catch (\JsonException $error) {
            throw new BadResult("The handler's result cannot be written as JSON: {$error->getMessage()}.");
        }
    }

    private function stream(\Generator $pieces): void
    {
        $pieces->valid(); // runs to the first yield: a failure before it is an ordinary one
        $this->api->stream($this->requestId, (static function () use ($pieces): \Generator {
            foreach ($pieces as $piece) {
                if (!\is_scalar($piece) && !$piece instanceof \Stringable) {
                    throw new BadResult('A handler that streams must yield strings, not ' . \get_debug_type($piece) . '.');
                }
                yield (string) $piece;
            }
        })());
    }

    private function fail(Failure $failure): void
    {
        self::log($failure->logLine($this->requestId));
        $this->api->fail($this->requestId, $failure->category(), $failure->json());
    }

    /** What the handler printed into buffers that it left open goes to the log, and not into the next event. */
    private function closeBuffers(): void
    {
        try {
            while (\ob_get_level() > 0 && \ob_end_flush()) {
            }
        } catch (\Throwable $thrown) { // of a callback that the handler gave to ob_start()
            self::log($this->failure()::of($thrown)->logLine(''));
        }
    }

    /** @return class-string<Failure> */
    private function failure(): string
    {
        require_once __DIR__ . '/Failure.php';
        return Failure::class;
    }

    private function exportTrace(string $traceId): void
    {
        \putenv($traceId === '' ? '_X_AMZN_TRACE_ID' : "_X_AMZN_TRACE_ID={$traceId}");
        $_SERVER['_X_AMZN_TRACE_ID'] = $traceId;
    }

    /** PHP ends. If it was working on something, that is reported. */
    private function shutdown(): void
    {
        if ($this->ended || (!$this->starting && $this->requestId === '')) {
            return;
        }
        $this->ended = true;
        $error = \error_get_last();
        if (\str_starts_with($error['message'] ?? '', 'Allowed memory size')) {
            \ini_set('memory_limit', (string) (\memory_get_usage(true) + (self::RESERVE << 20)));
        }
        $failure = $this->failure()::ending($error);
        try {
            if ($this->starting) {
                self::log($failure->logLine(''));
                $this->api->failInit($failure->category(), $failure->json());
            } else {
                $this->fail($failure);
            }
        } catch (ConnectionLost | RuntimeApiRefused $reason) {
            self::log("The Runtime API could not be told: {$reason->getMessage()}.");
        }
    }
}

/** The handler returned or yielded what cannot be sent. */
final class BadResult extends \RuntimeException
{
}

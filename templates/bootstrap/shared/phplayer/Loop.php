<?php

declare(strict_types=1);

namespace Phplayer;

/** There is no handler to call where `_HANDLER` points. */
final class NoSuchHandler extends \RuntimeException
{
}

/**
 * Start-up, then one event after the other in the same PHP.
 *
 * Whatever ends the work on an event, its answer or its failure is sent. What leaves PHP sound is reported and the
 * loop goes on; what does not (exit, fatal errors) is reported at shutdown, and Lambda starts a new PHP.
 */
final class Loop
{
    private const RESERVE = 16; // MB granted on top of what is in use, to report that memory is exhausted
    private const OVERHEAD = 40; // MB that a function's memory holds beside what PHP counts: PHP itself, the reserve
    private const SPARE = 320 << 10; // bytes set free to get that far: more than a page of PHP's stack of calls (256 KB)
    private const SPARE_NAME = 'phplayer: memory to be set free'; // the global variable that holds them

    private readonly Signals $signals;
    private readonly Answer $answer;
    private readonly \Closure $open; // the answer's stream
    private readonly int $pid;
    /** @var resource|false|null a file descriptor set free where every other is taken */
    private $spareFile;
    private bool $starting = true;
    private bool $ended = false;
    private int $code = 1; // of PHP's exit
    private string $traceId = '';
    private int $roots = 0; // what PHP takes for possible garbage without an event having left any

    private function __construct(private readonly RuntimeApi $api, private readonly ?Holding $holding)
    {
        $this->pid = (int) \getmypid();
        // Endless recursion leaves no room to call a shutdown function. PHP then destroys objects that only a global
        // variable holds, and then ends the output: our output handler can be called, and does what is to be done.
        $GLOBALS[self::SPARE_NAME] = new \ArrayObject([\str_repeat('.', self::SPARE)]);
        Log::$exhausted = $this->shutdown(...);
        $this->spareFile = @\fopen('/dev/null', 'r');
        $this->signals = new Signals($this->interrupt(...), $api->stop(...));
        $this->answer = new Answer($api, $this->signals);
        $this->open = $this->answer->open(...);
    }

    /** @param \Closure(string): \Closure $find given the function's folder, returns what is called with event and context */
    public static function start(string $bootstrap, \Closure $find): never
    {
        $address = (string) \getenv('AWS_LAMBDA_RUNTIME_API');
        if ($address === '') {
            Log::write('FATAL', 'AWS_LAMBDA_RUNTIME_API is not set: this bootstrap runs inside Lambda, or: phplayer invoke');
            exit(1);
        }
        $api = new RuntimeApi($address);
        $workers = \max(1, (int) \getenv('AWS_LAMBDA_MAX_CONCURRENCY'));
        $most = (int) \getenv('PHPLAYER_MAX_INVOCATIONS');
        $holding = null;
        if ($workers > 1 || $most > 0) {
            require __DIR__ . '/Holding.php';
            if (\getenv('PHPLAYER_WORKER') === false) {
                require __DIR__ . '/Workers.php';
                Log::start();
                exit(Workers::run($bootstrap, $workers, $api));
            }
            $holding = Holding::ofWorker();
        }
        $loop = new self($api, $holding);
        \register_shutdown_function($loop->shutdown(...));
        Log::start(); // not sooner: until then it is PHP itself that tells what goes wrong
        try {
            $loop->serve($loop->initialise($find, $workers), $most);
        } catch (ConnectionLost | RuntimeApiRefused $reason) {
            $loop->answer->end();
            if (!$loop->signals->isTerminated()) {
                $loop->ended = true;
                Log::write('ERROR', "The Runtime API cannot be used any more: {$reason->getMessage()}. PHP ends.");
                exit($loop->code = self::isWorker() ? Holding::API_FAILED : 1);
            }
        }
        $loop->ended = true;
        exit($loop->code = 0);
    }

    private function initialise(\Closure $find, int $workers): \Closure
    {
        try {
            $this->limitMemory($workers);
            $handler = $find(\getenv('LAMBDA_TASK_ROOT') ?: '/var/task');
            $this->starting = false;
            Log::endOutput();
            Log::handedOver();
            // Functions that an event registers to run at shutdown would run at the end of another one: none does.
            \register_shutdown_function(function (): void {
                if (\getmypid() === $this->pid) {
                    exit($this->code);
                }
            });
            return $handler;
        } catch (NoSuchHandler $missing) {
            $this->failInit($this->failure()::named('Runtime.NoSuchHandler', $missing->getMessage()));
        } catch (\ParseError $error) {
            $message = "{$error->getMessage()} in {$error->getFile()}:{$error->getLine()}";
            $this->failInit($this->failure()::named('Runtime.HandlerParseError', $message, $error));
        } catch (\Throwable $thrown) {
            $message = 'The function could not be loaded: ' . \get_debug_type($thrown) . ": {$thrown->getMessage()} in "
                . "{$thrown->getFile()}:{$thrown->getLine()}";
            $this->failInit($this->failure()::named('Runtime.HandlerLoadError', $message, $thrown));
        }
    }

    /** Without a limit of its own, PHP must notice before the kernel does that memory is exhausted: only PHP can say where. */
    private function limitMemory(int $workers): void
    {
        $size = \intdiv((int) \getenv('AWS_LAMBDA_FUNCTION_MEMORY_SIZE'), $workers);
        if ($size > 2 * self::OVERHEAD && \ini_get('memory_limit') === '-1') {
            \ini_set('memory_limit', ($size - self::OVERHEAD) . 'M');
        }
    }

    private function failInit(Failure $failure): never
    {
        $this->ended = true;
        Log::failure($failure->document());
        $this->api->failInit($failure->category(), $failure->json());
        exit(self::isWorker() ? Holding::INIT_FAILED : 1);
    }

    /** One of several: their watcher learns from the exit code how it ended. */
    private static function isWorker(): bool
    {
        return \class_exists(Holding::class, false);
    }

    private function serve(\Closure $handler, int $most): void
    {
        $this->holding?->tell(Holding::IDLE);
        for ($count = 1; !$this->signals->isTerminated(); ++$count) {
            try {
                $this->work($handler, $this->api->next());
            } catch (ConnectionLost | RuntimeApiRefused $reason) {
                throw $reason;
            } catch (\Throwable $thrown) { // of a destructor that ran when all was over
                $this->answer->isGiven() ? $this->log($thrown) : throw $thrown;
            }
            unset($thrown);
            $this->answer->end();
            $this->holding?->tell(Holding::IDLE);
            Log::endOutput();
            Log::$requestId = '';
            // Cycles that the event has left are freed now: their destructors belong to it. A handler that leaves
            // none does not pay for the search.
            if (\gc_status()['roots'] > $this->roots) {
                $this->collect($handler);
            }
            if ($count === $most) {
                return;
            }
        }
    }

    private function work(\Closure $handler, Response $event): void
    {
        Log::$requestId = $event->requestId();
        $this->answer->begin(Log::$requestId);
        $this->holding?->tell(Log::$requestId);
        try {
            $context = Context::of($event, $this->open);
            if ($context->traceId !== $this->traceId) {
                $this->exportTrace($context->traceId);
            }
            $data = \json_decode($event->body, true, Answer::DEPTH, \JSON_THROW_ON_ERROR);
            unset($event); // a large event is not held twice
            $this->answer->give($this->call($handler, $data, $context));
        } catch (ConnectionLost $lost) {
            if (!$this->answer->isUnderWay()) {
                throw $lost;
            }
            $message = "The answer's stream broke: {$lost->getMessage()}.";
            $this->answer->fail($this->failure()::named('Function.StreamBroken', $message));
        } catch (RuntimeApiRefused $refused) {
            throw $refused;
        } catch (\Throwable $thrown) {
            if (!$this->answer->isGiven()) {
                $this->answer->fail($this->failure()::of($thrown));
            } elseif (!$thrown instanceof Interrupted) {
                $this->log($thrown);
            }
        }
    }

    /** Call the handler; its result as JSON, empty when it streams. All that is of its own happens in here. */
    private function call(\Closure $handler, mixed $data, Context $context): string
    {
        $limit = (string) \ini_get('max_execution_time');
        if ($limit !== '0') {
            \set_time_limit((int) $limit); // counted from here: it is meant for one event, not for all
        }
        $this->signals->enter($context->deadlineMs);
        try {
            $result = $handler($data, $context);
            if ($result instanceof \Generator) {
                $this->answer->pump($result);
            }
            $json = $this->answer->encode($result);
            unset($result); // its destructor may fail, which must be known before the event is answered
            return $json;
        } catch (\Throwable $thrown) {
            throw $thrown;
        } finally {
            $this->signals->leave();
            if (\getmypid() !== $this->pid) {
                $this->endFork($thrown ?? null);
            }
        }
    }

    /** A process that the handler forked has come back from it: it has no event to answer, and may ask for none. */
    private function endFork(?\Throwable $thrown): never
    {
        if ($thrown !== null) {
            $this->log($thrown);
        }
        exit($thrown === null ? 0 : 255);
    }

    /** Of a failure that is no event's, or comes when its event has been told to have failed. */
    private function log(\Throwable $thrown): void
    {
        Log::failure($this->failure()::of($thrown)->document());
    }

    /** Called by a signal while the handler runs: the event is reported as failed, and the handler left. */
    private function interrupt(string $type, string $message): never
    {
        $interrupted = new Interrupted($message);
        try {
            $this->answer->close();
            Log::$interrupted = true;
            $this->answer->fail($this->failure()::named($type, $message, $interrupted, false));
        } catch (ConnectionLost | RuntimeApiRefused $reason) {
            $this->ended = true;
            Log::write('ERROR', "The Runtime API could not be told: {$reason->getMessage()}.");
            exit($this->code = self::isWorker() ? Holding::API_FAILED : 1);
        }
        throw $interrupted;
    }

    private function collect(\Closure $handler): void
    {
        try {
            \gc_collect_cycles();
        } catch (\Throwable $thrown) { // of a destructor
            $this->log($thrown);
        }
        Log::endOutput();
        // What the loop itself uses for every event is possible garbage to PHP, too, as soon as it was used once: here.
        $own = [$this, $handler, $this->answer, $this->open, \set_error_handler(null)];
        $own = [...$own, ...$this->signals->own(), ...$this->api->own()];
        \restore_error_handler();
        unset($own);
        $this->roots = \gc_status()['roots'];
    }

    /** @return class-string<Failure> */
    private function failure(): string
    {
        if ($this->spareFile !== null) {
            $this->spareFile = null;
            require_once __DIR__ . '/Failure.php';
        }
        return Failure::class;
    }

    private function exportTrace(string $traceId): void
    {
        $this->traceId = $traceId;
        \putenv($traceId === '' ? '_X_AMZN_TRACE_ID' : "_X_AMZN_TRACE_ID={$traceId}");
        $_SERVER['_X_AMZN_TRACE_ID'] = $_ENV['_X_AMZN_TRACE_ID'] = $traceId;
    }

    /** PHP ends. If it was working on something, that is reported. */
    private function shutdown(): void
    {
        if ($this->ended || \getmypid() !== $this->pid) {
            return; // a process that the handler forked has nothing to report
        }
        $this->ended = true;
        unset($GLOBALS[self::SPARE_NAME]);
        $this->signals->leave(); // a fatal error has left the handler without it
        $error = \error_get_last();
        if (\str_starts_with($error['message'] ?? '', 'Allowed memory size')) {
            \ini_set('memory_limit', (string) (\memory_get_usage(true) + (self::RESERVE << 20)));
        }
        $this->failure();
        Log::closeBuffers();
        $failure = Failure::ending($error, Log::$printed);
        try {
            if ($this->starting) {
                Log::failure($failure->document());
                $this->api->failInit($failure->category(), $failure->json());
            } elseif ($this->answer->isOwed()) {
                $this->answer->fail($failure);
            } else {
                Log::failure($failure->document());
            }
            if (!$this->starting) {
                $this->holding?->tell(Holding::IDLE);
            }
        } catch (ConnectionLost | RuntimeApiRefused $reason) {
            Log::write('ERROR', "The Runtime API could not be told: {$reason->getMessage()}.");
        }
        if ($this->starting) {
            exit(self::isWorker() ? Holding::INIT_FAILED : 1);
        }
    }
}

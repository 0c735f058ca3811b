<?php

declare(strict_types=1);

namespace Phplayer;

/** Thrown into a handler whose event was reported as failed, so that what it holds is released. */
final class Interrupted extends \Error
{
}

/**
 * Interrupts a handler shortly before its deadline, and when Lambda ends the environment (SIGTERM).
 *
 * It needs pcntl; without it Lambda's own time-out speaks, which knows no stack. PHP hears a signal between two of its
 * operations: a call that blocks and cannot be interrupted is not left before it returns.
 *
 * What rings is a process of its own (Keeper). Without it, Lambda's time-out speaks as well.
 */
final class Signals
{
    private const MARGIN = 500; // ms before the deadline, by default

    private readonly bool $able;
    private readonly ?int $margin; // ms; null: the default, or a tenth of a short time-out
    private readonly int $pid;
    private float $at = 0.0; // when to interrupt, in seconds of Unix time; 0: not
    private int $deadlineMs = 0;
    private bool $open = false; // the handler's own code runs
    private bool $terminated = false;
    private ?Keeper $keeper = null;

    /**
     * @param \Closure(string, string): never $interrupt given the type and message of the failure
     * @param \Closure(): void $stop called once at SIGTERM
     */
    public function __construct(private readonly \Closure $interrupt, private readonly \Closure $stop)
    {
        $this->margin = self::number('PHPLAYER_DEADLINE_MARGIN_MS');
        $this->pid = (int) \getmypid();
        $this->able = \function_exists('pcntl_async_signals') && \function_exists('pcntl_signal');
        if ($this->able) {
            if ($this->margin !== 0) {
                require __DIR__ . '/Keeper.php';
                $this->keeper = Keeper::hire();
            }
            \pcntl_async_signals(true);
            \pcntl_signal(\SIGALRM, $this->ring(...));
            // The wait for the next event has to end, too: without restarting what is interrupted.
            \pcntl_signal(\SIGTERM, $this->terminate(...), false);
        }
    }

    /** Return the whole number that an environment variable holds, null where it holds none. */
    public static function number(string $variable): ?int
    {
        $text = (string) \getenv($variable);
        return \preg_match('~^\d+$~D', $text) === 1 ? (int) $text : null; // ctype is an extension that may be left out
    }

    /** The handler begins. */
    public function enter(int $deadlineMs): void
    {
        $this->open = true;
        if ($this->terminated) {
            $this->ring();
        }
        if ($this->keeper === null) {
            return;
        }
        $now = \microtime(true);
        $left = $deadlineMs - $now * 1000;
        if ($left <= 0) {
            return;
        }
        $margin = $this->margin === null ? \min(self::MARGIN, $left / 10) : \min($this->margin, $left / 2);
        $this->deadlineMs = $deadlineMs;
        $this->at = ($deadlineMs - $margin) / 1000;
        $this->keeper->wake($this->at, $now);
    }

    /** The handler has ended. */
    public function leave(): void
    {
        $this->open = false;
        $this->at = 0.0;
    }

    /** Nothing may be interrupted until ``release``, which is given what this returns. */
    public function hold(): bool
    {
        $open = $this->open;
        $this->open = false;
        return $open;
    }

    public function release(bool $open): void
    {
        $this->open = $open;
        if ($open && $this->able) {
            $this->ring();
        }
    }

    /** @return list<object> what is used for every event */
    public function own(): array
    {
        return \array_filter([$this, $this->keeper]);
    }

    public function isTerminated(): bool
    {
        return $this->terminated;
    }

    /** It may be time: interrupt the handler if so. */
    private function ring(): void
    {
        if (!$this->open || \getmypid() !== $this->pid) {
            return; // asked again when it is open; a process that the handler forked is not ours to interrupt
        }
        if ($this->terminated) {
            $this->leave();
            ($this->interrupt)('Function.Terminated', 'Lambda ended the environment (SIGTERM) while the handler ran.');
        }
        $now = \microtime(true);
        if ($this->at === 0.0 || !Keeper::isTime($this->at, $now)) {
            return;
        }
        $left = $this->deadlineMs - (int) ($now * 1000);
        $this->leave();
        ($this->interrupt)(
            'Function.DeadlineNear',
            "The handler was still running {$left} ms before its deadline. The stack tells where it was."
        );
    }

    private function terminate(): void
    {
        if (\getmypid() !== $this->pid) {
            exit(128 + \SIGTERM);
        }
        $this->terminated = true;
        ($this->stop)();
        $this->ring();
    }
}

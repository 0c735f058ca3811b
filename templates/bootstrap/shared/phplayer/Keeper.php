<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * A process that keeps the time for another: it sends SIGALRM at the moment that it was told last.
 *
 * PHP's own alarm counts whole seconds, and one that rings early would cut a sleep() short. So a second process waits,
 * forked before there is anything of the function's to share. It is told over a pair of sockets, and ends when the
 * other end is closed, which no process can help when it ends.
 */
final class Keeper
{
    public const SLACK = 0.02; // seconds that it may ring too soon: events in quick succession tell it only now and then
    private const EARLY = 0.01; // seconds by which two clocks may differ
    private const LOOK = 5.0; // seconds between two looks whether the other process lives

    private float $told = 0.0; // in seconds of Unix time

    /** @param resource|null $bell */
    private function __construct(private $bell)
    {
    }

    /** Fork it; null when it cannot be had. It is no child of this process: a handler may wait for all that it forked. */
    public static function hire(): ?self
    {
        $pid = (int) \getmypid();
        $pair = @\stream_socket_pair(\STREAM_PF_UNIX, \STREAM_SOCK_STREAM, 0);
        if ($pair === false) {
            return null;
        }
        $parent = \pcntl_fork();
        if ($parent === 0) {
            if (\pcntl_fork() === 0) {
                \fclose($pair[0]);
                self::keep($pair[1], $pid);
            }
            self::kill((int) \getmypid(), \SIGKILL); // sooner than PHP's own end
            exit(0);
        }
        if ($parent < 0) {
            return null;
        }
        \pcntl_waitpid($parent, $status);
        \fclose($pair[1]);
        \stream_set_blocking($pair[0], false);
        return new self($pair[0]);
    }

    /** Ask for a signal at that moment, or at most SLACK and EARLY before it, instead of what was asked for before. */
    public function wake(float $at, float $now): void
    {
        if ($this->told > $now + self::EARLY && $at >= $this->told && $at < $this->told + self::SLACK) {
            return; // it will ring anyway
        }
        $this->told = $at;
        if ($this->bell !== null) {
            \set_error_handler(static fn (): bool => true); // `@` would still call an error handler of the function's
            if (\fwrite($this->bell, \pack('d', $at)) !== 8) {
                $this->bell = null; // somebody has killed it
            }
            \restore_error_handler();
        }
    }

    /** Tell whether a signal that comes now can have been asked for that moment. */
    public static function isTime(float $at, float $now): bool
    {
        return $now >= $at - self::SLACK - self::EARLY;
    }

    /**
     * The keeper's whole life.
     *
     * @param resource $bell
     */
    private static function keep($bell, int $pid): void
    {
        for ($at = \INF;;) {
            $left = \max(0.0, \min($at - \microtime(true), self::LOOK));
            [$read, $none, $neither] = [[$bell], null, null];
            $count = \stream_select($read, $none, $neither, (int) $left, (int) (\fmod($left, 1) * 1e6));
            if ($count) {
                $told = (string) \fread($bell, 8192);
                if ($told === '') {
                    return;
                }
                $at = \unpack('d', $told, \strlen($told) - 8)[1];
            } elseif ($at <= \microtime(true)) {
                self::kill($pid, \SIGALRM);
                $at = \INF;
            } else {
                \clearstatcache();
                if (!\is_dir("/proc/{$pid}")) { // a process that it left behind holds the other end
                    return;
                }
            }
        }
    }

    private static function kill(int $pid, int $signal): void
    {
        if (\function_exists('posix_kill')) {
            \posix_kill($pid, $signal);
        } else {
            \exec("kill -{$signal} {$pid}");
        }
    }
}

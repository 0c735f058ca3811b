<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * Which event a worker holds, for the one who watches it: a worker that is killed cannot report its event as failed.
 *
 * A file without a name, which the watcher opens and hands down. To write to it wakes nobody, unlike a pipe.
 */
final class Holding
{
    public const STARTING = ''; // it has not asked for an event yet
    public const IDLE = '-';

    /** The exit code of a worker that has reported a failed start: another would fail as well. */
    public const INIT_FAILED = 70;

    /** That of one that can use the Runtime API no more: what became of its event, nobody may know. */
    public const API_FAILED = 71;

    private const DESCRIPTOR = 4; // of a worker
    private const SIZE = 512; // bytes; a request ID has 36

    /** @param resource $file */
    private function __construct(private $file)
    {
    }

    /** In the watcher. Null when there is nowhere to put a file. */
    public static function make(): ?self
    {
        $file = @\tmpfile();
        if ($file === false) {
            return null;
        }
        \unlink(\stream_get_meta_data($file)['uri']);
        \stream_set_read_buffer($file, 0); // what is read twice may have changed
        \fwrite($file, \str_repeat("\n", self::SIZE)); // what there is room for now, there always is
        return new self($file);
    }

    /** In a worker. */
    public static function ofWorker(): ?self
    {
        $file = @\fopen('php://fd/' . self::DESCRIPTOR, 'r+');
        return $file === false ? null : new self($file);
    }

    /** @return array<int, resource> what a worker is given, as proc_open() wants it */
    public function descriptor(): array
    {
        return [self::DESCRIPTOR => $this->file];
    }

    public function tell(string $requestId): void
    {
        \fseek($this->file, 0);
        \fwrite($this->file, $requestId . "\n");
    }

    /** What was told last; STARTING before that. */
    public function read(): string
    {
        \fseek($this->file, 0);
        return \explode("\n", (string) \fread($this->file, self::SIZE), 2)[0];
    }
}

<?php

declare(strict_types=1);

namespace Phplayer;

/** The handler returned or yielded what cannot be sent. */
final class BadResult extends \RuntimeException
{
}

/** What is sent for the event being worked on, once: its result, whole or piece by piece, or the report of a failure. */
final class Answer
{
    public const DEPTH = 4096; // of nested arrays in an event or a result
    private const RESULT = \JSON_THROW_ON_ERROR | \JSON_PRESERVE_ZERO_FRACTION | \JSON_UNESCAPED_SLASHES;

    private string $requestId = ''; // of the event; empty between events
    private bool $given = false;
    private ?Stream $stream = null;

    public function __construct(private readonly RuntimeApi $api, private readonly Signals $signals)
    {
    }

    /** An event has come: from now on this is the answer to it. */
    public function begin(string $requestId): void
    {
        $this->requestId = $requestId;
        $this->given = false;
    }

    /** The work on the event is over. */
    public function end(): void
    {
        $this->requestId = '';
        $this->stream = null;
    }

    /** Nothing more is sent for the event, but the report of its failure. */
    public function close(): void
    {
        $this->given = true;
    }

    public function isGiven(): bool
    {
        return $this->given;
    }

    /** Tell whether there is an event that has got no answer. */
    public function isOwed(): bool
    {
        return $this->requestId !== '' && !$this->given;
    }

    /** Tell whether pieces of the answer may have been sent, and not its end. */
    public function isUnderWay(): bool
    {
        return $this->stream !== null && !$this->given;
    }

    /** Begin to answer piece by piece; a head says status and headers. */
    public function open(?Head $head): Stream
    {
        if ($this->stream !== null) {
            throw new \LogicException('This event has a stream already.');
        }
        return $this->stream = new Stream($this->api, $this->requestId, $head, $this->signals);
    }

    /**
     * Send what a handler yields.
     *
     * @throws BadResult
     * @throws \Throwable whatever the handler throws
     */
    public function pump(\Generator $pieces): void
    {
        require_once __DIR__ . '/Stream.php';
        // Up to the first yield it runs here: a failure before that is an ordinary one.
        $head = $pieces->valid() && $pieces->current() instanceof Head ? $pieces->current() : null;
        if ($head !== null) {
            $pieces->next();
        }
        for ($stream = $this->stream ?? $this->open($head); $pieces->valid(); $pieces->next()) {
            $piece = $pieces->current();
            if (!\is_scalar($piece) && !$piece instanceof \Stringable) {
                throw new BadResult('A handler that streams must yield strings, not ' . \get_debug_type($piece) . '.');
            }
            $stream->write((string) $piece);
        }
    }

    /**
     * Return a result as it is sent; empty when it is not, because the answer is streamed or given.
     *
     * @throws BadResult
     * @throws \Throwable whatever a jsonSerialize() throws
     */
    public function encode(mixed $result): string
    {
        if ($this->stream !== null || $this->given) {
            return '';
        }
        try {
            return \json_encode($result, self::RESULT, self::DEPTH);
        } catch (\JsonException $error) {
            require_once __DIR__ . '/Unencodable.php';
            $found = Unencodable::find($result);
            $where = $found === null ? '' : ": {$found}";
            throw new BadResult("The handler's result cannot be written as JSON{$where} ({$error->getMessage()}).");
        }
    }

    /**
     * Send the handler's result, or the end of its stream.
     *
     * @throws ConnectionLost
     * @throws ResponseTooLarge
     * @throws RuntimeApiRefused
     */
    public function give(string $json): void
    {
        if ($this->given) {
            Log::write('WARN', 'The handler went on after its event was reported as failed; its result is dropped.');
        } elseif ($this->stream === null) {
            $this->api->respond($this->requestId, $json);
        } else {
            $this->stream->close();
            if (!$this->stream->isClosed()) {
                throw new ConnectionLost('the handler went on after it had failed to end it');
            }
        }
        $this->given = true;
    }

    /**
     * Report that the handler failed.
     *
     * @throws ConnectionLost
     * @throws RuntimeApiRefused
     */
    public function fail(Failure $failure): void
    {
        Log::failure($failure->document());
        if ($this->stream?->isClosed() !== true) {
            $this->api->fail($this->requestId, $failure->category(), $failure->json());
            $this->stream?->abandon();
        }
        $this->given = true;
    }
}

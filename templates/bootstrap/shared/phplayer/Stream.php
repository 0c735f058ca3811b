<?php

declare(strict_types=1);

namespace Phplayer;

/**
 * Status, headers and cookies of an HTTP answer that is streamed. A handler that is a generator yields it first.
 *
 * https://docs.aws.amazon.com/lambda/latest/dg/response-streaming-tutorial.html
 */
final readonly class Head
{
    /**
     * @param array<string, string> $headers
     * @param list<string> $cookies values of Set-Cookie
     */
    public function __construct(public int $status = 200, public array $headers = [], public array $cookies = [])
    {
    }

    /** What goes before the body: JSON, and eight NUL bytes. */
    public function prelude(): string
    {
        $document = ['statusCode' => $this->status, 'headers' => (object) $this->headers];
        if ($this->cookies !== []) {
            $document['cookies'] = $this->cookies;
        }
        return \json_encode($document, \JSON_THROW_ON_ERROR | \JSON_UNESCAPED_SLASHES) . \str_repeat("\0", 8);
    }
}

/** An answer on its way, piece by piece. Nothing is sent before the first piece: a failure until then is an ordinary one. */
final class Stream
{
    private bool $begun = false;
    private bool $ended = false;
    private bool $closed = false;

    public function __construct(
        private readonly RuntimeApi $api,
        private readonly string $requestId,
        private readonly ?Head $head,
        private readonly Signals $signals,
    ) {
    }

    /**
     * Send a piece.
     *
     * @throws ConnectionLost
     * @throws \LogicException after the end
     */
    public function write(string $data): void
    {
        if ($this->ended) {
            throw new \LogicException('This stream has ended.');
        }
        if ($data === '') {
            return;
        }
        $prelude = $this->begun ? '' : ($this->head?->prelude() ?? '');
        $this->sending(function () use ($prelude, $data): void {
            $this->begin();
            $this->api->chunk($prelude . $data);
        });
    }

    /**
     * Say that this is all. Done at the handler's return at the latest.
     *
     * @throws ConnectionLost
     * @throws RuntimeApiRefused
     */
    public function close(): void
    {
        if ($this->ended) {
            return;
        }
        $prelude = $this->begun ? '' : ($this->head?->prelude() ?? '');
        $this->ended = true;
        $this->sending(function () use ($prelude): void {
            $this->begin();
            $this->api->chunk($prelude);
            $this->api->finishStream();
            $this->closed = true; // not before: one that breaks here must be reported, or the event would come again
        });
    }

    /** The event was reported as failed: what else is written has nowhere to go. */
    public function abandon(): void
    {
        $this->ended = true;
    }

    /** Tell whether the answer is complete: nothing can be added, no failure either. */
    public function isClosed(): bool
    {
        return $this->closed;
    }

    private function begin(): void
    {
        if (!$this->begun) {
            $this->begun = true;
            $http = 'application/vnd.awslambda.http-integration-response';
            $this->api->beginStream($this->requestId, $this->head === null ? 'application/octet-stream' : $http);
        }
    }

    /** No signal may report over a connection that is being written to. */
    private function sending(\Closure $send): void
    {
        $held = $this->signals->hold();
        try {
            $send();
        } finally {
            $this->signals->release($held);
        }
    }
}

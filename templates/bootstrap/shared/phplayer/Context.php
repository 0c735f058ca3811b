<?php

declare(strict_types=1);

namespace Phplayer;

/** What a handler may know about the invocation it serves. */
final class Context
{
    private static ?string $name = null; // the rest of what is of the process is read with it
    private static string $version = '';
    private static int $memory = 0;

    /** @var (\Closure(?Head): Stream)|null */
    private ?\Closure $open = null;

    /**
     * @param string $requestId identifies the invocation, and its retries
     * @param int $deadlineMs when the function times out, in milliseconds of Unix time
     * @param string $functionArn as it was invoked: with a version or an alias, if one was named
     * @param string $traceId the X-Ray header, empty without tracing; also in the environment as _X_AMZN_TRACE_ID
     * @param array<mixed>|null $clientContext what a mobile SDK sent
     * @param array<mixed>|null $identity the Cognito identity
     * @param string $tenantId the tenant of a tenant-isolated function, else empty
     */
    public function __construct(
        public readonly string $requestId,
        public readonly int $deadlineMs,
        public readonly string $functionArn,
        public readonly string $functionName,
        public readonly string $functionVersion,
        public readonly int $memoryMb,
        public readonly string $traceId,
        public readonly ?array $clientContext,
        public readonly ?array $identity,
        public readonly string $tenantId,
    ) {
    }

    /** @param (\Closure(?Head): Stream)|null $open begins to answer piece by piece */
    public static function of(Response $event, ?\Closure $open = null): self
    {
        if (self::$name === null) {
            self::$name = (string) \getenv('AWS_LAMBDA_FUNCTION_NAME');
            self::$version = (string) \getenv('AWS_LAMBDA_FUNCTION_VERSION');
            self::$memory = (int) \getenv('AWS_LAMBDA_FUNCTION_MEMORY_SIZE');
        }
        $client = $event->header('lambda-runtime-client-context');
        $identity = $event->header('lambda-runtime-cognito-identity');
        $context = new self(
            $event->requestId(),
            (int) $event->header('lambda-runtime-deadline-ms'),
            $event->header('lambda-runtime-invoked-function-arn') ?? '',
            self::$name,
            self::$version,
            self::$memory,
            $event->header('lambda-runtime-trace-id') ?? '',
            $client === null ? null : self::decoded($client),
            $identity === null ? null : self::decoded($identity),
            $event->header('lambda-runtime-aws-tenant-id') ?? '',
        );
        $context->open = $open;
        return $context;
    }

    /** Milliseconds left before the function times out; negative when it is past. */
    public function remainingMs(): int
    {
        return $this->deadlineMs - (int) (\microtime(true) * 1000);
    }

    /**
     * Answer piece by piece: what is written to the stream is sent at once. The handler's result counts no more.
     *
     * With a status (or headers, or cookies) the answer is one of HTTP, for a function URL.
     *
     * @param array<string, string> $headers
     * @param list<string> $cookies values of Set-Cookie
     *
     * @throws \LogicException when there is a stream already
     */
    public function stream(?int $status = null, array $headers = [], array $cookies = []): Stream
    {
        if ($this->open === null) {
            throw new \LogicException('A context that was made by hand has nowhere to stream to.');
        }
        $plain = $status === null && $headers === [] && $cookies === [];
        require_once __DIR__ . '/Stream.php';
        return ($this->open)($plain ? null : new Head($status ?? 200, $headers, $cookies));
    }

    /** Without what a handler has no use for. */
    public function __debugInfo(): array
    {
        $fields = \get_object_vars($this);
        unset($fields['open']);
        return $fields;
    }

    /** @return array<mixed>|null */
    private static function decoded(string $json): ?array
    {
        $value = \json_decode($json, true);
        return \is_array($value) ? $value : null;
    }
}

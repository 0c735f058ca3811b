<?php

declare(strict_types=1);

namespace Phplayer;

/** What a handler may know about the invocation it serves. */
final readonly class Context
{
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
        public string $requestId,
        public int $deadlineMs,
        public string $functionArn,
        public string $functionName,
        public string $functionVersion,
        public int $memoryMb,
        public string $traceId,
        public ?array $clientContext,
        public ?array $identity,
        public string $tenantId,
    ) {
    }

    /** @param array<string, string> $headers of the event, names in lower case */
    public static function of(array $headers): self
    {
        return new self(
            $headers['lambda-runtime-aws-request-id'],
            (int) ($headers['lambda-runtime-deadline-ms'] ?? 0),
            $headers['lambda-runtime-invoked-function-arn'] ?? '',
            (string) \getenv('AWS_LAMBDA_FUNCTION_NAME'),
            (string) \getenv('AWS_LAMBDA_FUNCTION_VERSION'),
            (int) \getenv('AWS_LAMBDA_FUNCTION_MEMORY_SIZE'),
            $headers['lambda-runtime-trace-id'] ?? '',
            self::decoded($headers['lambda-runtime-client-context'] ?? ''),
            self::decoded($headers['lambda-runtime-cognito-identity'] ?? ''),
            $headers['lambda-runtime-aws-tenant-id'] ?? '',
        );
    }

    /** Milliseconds left before the function times out; negative when it is past. */
    public function remainingMs(): int
    {
        return $this->deadlineMs - (int) (\microtime(true) * 1000);
    }

    /** @return array<mixed>|null */
    private static function decoded(string $json): ?array
    {
        $value = $json === '' ? null : \json_decode($json, true);
        return \is_array($value) ? $value : null;
    }
}

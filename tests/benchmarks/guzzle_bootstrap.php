<?php

// A bootstrap as the AWS tutorial of 2020 writes it: Guzzle, a new client for each call. For comparison only.

declare(strict_types=1);

require getenv('BENCH_VENDOR') . '/autoload.php';

function next_event(): array
{
    $client = new GuzzleHttp\Client();
    $response = $client->get('http://' . getenv('AWS_LAMBDA_RUNTIME_API') . '/2018-06-01/runtime/invocation/next');

    return [
        'invocationId' => $response->getHeader('Lambda-Runtime-Aws-Request-Id')[0],
        'payload' => json_decode((string) $response->getBody(), true),
    ];
}

function send_response(string $invocationId, mixed $response): void
{
    $client = new GuzzleHttp\Client();
    $client->post(
        'http://' . getenv('AWS_LAMBDA_RUNTIME_API') . "/2018-06-01/runtime/invocation/{$invocationId}/response",
        ['body' => json_encode($response)],
    );
}

require getenv('LAMBDA_TASK_ROOT') . '/src/index.php';

while (true) {
    $request = next_event();
    send_response($request['invocationId'], (getenv('_HANDLER'))($request['payload']));
}

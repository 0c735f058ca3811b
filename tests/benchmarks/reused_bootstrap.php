<?php

// One curl handle for all calls. For comparison only.

declare(strict_types=1);

require getenv('LAMBDA_TASK_ROOT') . '/src/index.php';

$base = 'http://' . getenv('AWS_LAMBDA_RUNTIME_API') . '/2018-06-01/runtime/invocation/';
$id = '';
$header = static function ($handle, string $header) use (&$id): int {
    if (stripos($header, 'lambda-runtime-aws-request-id:') === 0) {
        $id = trim(substr($header, 30));
    }
    return strlen($header);
};
$handle = curl_init();

while (true) {
    curl_reset($handle);
    curl_setopt_array($handle, [
        CURLOPT_URL => $base . 'next',
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_HEADERFUNCTION => $header,
    ]);
    $event = json_decode((string) curl_exec($handle), true);
    curl_reset($handle);
    curl_setopt_array($handle, [
        CURLOPT_URL => "{$base}{$id}/response",
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_POSTFIELDS => json_encode((getenv('_HANDLER'))($event)),
    ]);
    curl_exec($handle);
}

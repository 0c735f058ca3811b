"""What PHP takes from around it: certificate authorities, time zones, locales. The layer lies at /opt, as on Lambda."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Built
from tests.serving import Handler, running

_EXTENSIONS = "subjectAltName=IP:127.0.0.1,DNS:localhost"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificate of a private authority and of a server that it vouches for."""
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-x509")
    openssl(*new, "-subj", "/CN=Private authority", "-keyout", "ca.key", "-out", "ca.pem")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-addext", _EXTENSIONS)
    openssl(*new, "-subj", "/CN=localhost", *signed, "-keyout", "server.key", "-out", "server.pem")
    return folder


class _Answer(Handler):
    def get(self) -> None:
        self.send(200, b"private")


@pytest.fixture(scope="module")
def server(authority: Path) -> Iterator[str]:
    """The URL of an HTTPS server on this machine that only the private authority vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # who distrusts it hangs up
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server) as url:
        yield f"{url.replace('http:', 'https:')}/"


IN_PLACE = """
set -eu
mount --bind "$1" /opt
mkdir "$2/etc"
cp "$3" "$2/ca-bundle.crt"
mount -t tmpfs none /etc
if [ "$4" = with ]; then
    mkdir -p /etc/pki/tls/certs
    cp "$2/ca-bundle.crt" /etc/pki/tls/certs/ca-bundle.crt
fi
mount -t tmpfs none /usr/share/zoneinfo
exec env -i LD_LIBRARY_PATH=/lib64:/usr/lib64:/opt/lib PATH=/usr/bin:/bin /opt/bin/php -r "$5" "$6"
"""


def in_place(built: Built, work: Path, code: str, *, authority: Path, url: str = "", trust: bool = True) -> Any:
    """Run PHP code where the layer lies at /opt, with nothing in /etc but, at Lambda's place, the authorities."""
    certificates = authority / "ca.pem"
    arguments = (built.tree, work, certificates, "with" if trust else "without", code, url)
    command = ["unshare", "-rm", "sh", "-c", IN_PLACE, "sh", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


REQUESTS = """
$handle = curl_init($argv[1]);
curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
$first = curl_exec($handle);
$stream = @file_get_contents($argv[1]);
echo json_encode([
    'curl' => $first, 'error' => curl_errno($handle), 'stream' => $stream,
    'protocols' => curl_version()['protocols'], 'http2' => (bool) (curl_version()['features'] & CURL_VERSION_HTTP2),
]);
"""


def test_https_trusts_the_authorities_that_lambda_has(
    small: Built, authority: Path, server: str, tmp_path: Path
) -> None:
    said = in_place(small, tmp_path, REQUESTS, authority=authority, url=server)
    assert (said["curl"], said["error"], said["stream"]) == ("private", 0, "private")
    assert {"http", "https"} <= set(said["protocols"])
    assert not {"ldap", "smtp", "telnet", "scp"} & set(said["protocols"])
    assert said["http2"]


def test_https_trusts_nobody_else(small: Built, authority: Path, server: str, tmp_path: Path) -> None:
    said = in_place(small, tmp_path, REQUESTS, authority=authority, url=server, trust=False)
    assert said["curl"] is False
    assert said["error"] in {60, 77}, "no peer certificate, or no file of authorities"
    assert said["stream"] is False


def test_time_zones_are_phps_own(small: Built, authority: Path, tmp_path: Path) -> None:
    code = """
        $at = new DateTimeImmutable('@1782900000');
        foreach (['Europe/Berlin', 'America/New_York', 'Asia/Kathmandu'] as $zone) {
            $said[] = $at->setTimezone(new DateTimeZone($zone))->format('Y-m-d H:i T');
        }
        echo json_encode($said);
    """
    said = in_place(small, tmp_path, code, authority=authority)
    assert said == ["2026-07-01 12:00 CEST", "2026-07-01 06:00 EDT", "2026-07-01 15:45 +0545"]


def test_intl_switches_between_the_locales_it_was_built_with(small: Built, authority: Path, tmp_path: Path) -> None:
    code = """
        foreach (['de_DE', 'en_US', 'fr_FR'] as $locale) {
            $date = new IntlDateFormatter($locale, IntlDateFormatter::FULL, IntlDateFormatter::NONE, 'UTC');
            $said[$locale] = [
                (new NumberFormatter($locale, NumberFormatter::DECIMAL))->format(1234.5), $date->format(1782900000),
                Locale::getDisplayLanguage('de', $locale), collator_compare(new Collator($locale), 'ä', 'z'),
            ];
        }
        $breaks = IntlBreakIterator::createWordInstance('en');
        $breaks->setText('two words');
        $available = array_unique(array_map(fn ($name) => substr($name, 0, 2), ResourceBundle::getLocales('')));
        echo json_encode([$said, iterator_count($breaks), array_values($available)]);
    """
    said, breaks, available = in_place(small, tmp_path, code, authority=authority)
    assert said["de_DE"] == ["1.234,5", "Mittwoch, 1. Juli 2026", "Deutsch", -1]
    assert said["en_US"] == ["1,234.5", "Wednesday, July 1, 2026", "German", -1]
    assert said["fr_FR"][0] == "1234.5", "of French there is nothing: the root stands for it"
    assert breaks == 4
    assert available == ["de", "en"]


def test_icus_data_is_cut_to_them(small: Built) -> None:
    (data,) = (small.tree / "lib").glob("libicudata.so.*")
    assert data.stat().st_size < 15_000_000, "all locales take twice as much"

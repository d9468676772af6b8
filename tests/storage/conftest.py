"""A failing S3: moto's server behind a proxy that injects faults."""

import contextlib
import hashlib
import http.client
import http.server
import logging
import socket
import struct
import threading
import time
import urllib.parse

import pytest

from sagemaker_semseg.storage import s3

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIDTHEKEY",
    "AWS_SECRET_ACCESS_KEY": "THESECRET",
    "AWS_SESSION_TOKEN": "THETOKEN",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",  # botocore's own attempts, whose pauses would take time
}
X_MD5 = hashlib.md5(b"x").hexdigest()
ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>words of S3</Message></Error>'


class Forward(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        harm = self.server.harm_for(self.command, self.path)
        if harm in ANSWERS:
            status, code = ANSWERS[harm]
            self.reply(status, [("Content-Type", "application/xml")], ERROR.format(code).encode())
        elif harm == "reset":
            self.reset()
        elif self.server.listing and "list-type" in self.path:
            self.list()
        else:
            time.sleep(self.server.delay)
            self.pass_on(harm)

    do_HEAD = do_GET

    def pass_on(self, harm):
        connection = http.client.HTTPConnection(*self.server.behind)
        with contextlib.closing(connection):
            connection.request(self.command, self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            body = answer.read()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in NOT_PASSED]
        length = int(answer.headers["Content-Length"] or 0) if self.command == "HEAD" else len(body)
        half = len(body) // 2
        if harm in ("corrupt", "short", "long", "encrypted"):  # botocore checks nothing else
            headers = [(name, value) for name, value in headers if "checksum" not in name.lower()]
        if harm in ("cut", "reset within"):
            self.reply(answer.status, headers, body[:half], length)
            self.wfile.flush()
            self.reset() if harm == "reset within" else self.leave()
        elif harm in ("corrupt", "corrupt, with a checksum"):
            self.reply(answer.status, headers, body[:half] + bytes([body[half] ^ 1]) + body[half + 1 :])
        elif harm == "short":
            self.reply(answer.status, headers, body[:half])
        elif harm == "long":
            self.reply(answer.status, headers, body + b"more")
        elif harm == "encrypted":
            name = "x-amz-server-side-encryption"
            self.reply(answer.status, [*headers, (name, "aws:kms")], bytes(len(body)))
        else:
            self.reply(answer.status, headers, body, length)

    def list(self):
        """A thousand keys of ``listing``, each with the object ``x`` behind it."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        begin = int(query.get("continuation-token", ["0"])[0])
        end = begin + int(query["max-keys"][0])
        more = end < len(self.server.listing)
        items = "".join(
            f"<Contents><Key>{key}</Key><ETag>&quot;{X_MD5}&quot;</ETag><Size>1</Size></Contents>"
            for key in self.server.listing[begin:end]
        )
        following = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
        text = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{following}{items}</ListBucketResult>"
        self.reply(200, [("Content-Type", "application/xml")], text.encode())

    def reply(self, status, headers, body, length=None):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self):
        """End the connection with a reset instead of a normal close."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.leave()

    def leave(self):
        self.close_connection = True

    def log_message(self, *arguments):
        pass


NOT_PASSED = {"content-length", "connection", "transfer-encoding", "server", "date"}
ANSWERS = {
    "slow down": (503, "SlowDown"),
    "internal error": (500, "InternalError"),
    "too many": (429, "TooManyRequests"),
    "timeout": (400, "RequestTimeout"),
    "expired": (400, "ExpiredToken"),
    "denied": (403, "AccessDenied"),
}


class Proxy(http.server.ThreadingHTTPServer):
    """asked: what came, method and path. harms: done to requests whose path holds a text, so many times. listing: keys
    that are listed instead of those that there are.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behind):
        super().__init__(("127.0.0.1", 0), Forward)
        self.behind, self.lock, self.delay = behind, threading.Lock(), 0.0
        self.asked, self.harms, self.listing = [], [], []

    def harm(self, kind, times=1, path="", method="GET"):
        self.harms.append([kind, times, path, method])

    def harm_for(self, method, path):
        with self.lock:
            self.asked.append((method, path))
            for harm in self.harms:
                if harm[1] > 0 and harm[2] in path and harm[3] == method:
                    harm[1] -= 1
                    return harm[0]
        return None

    def gets(self, path=""):
        return [asked for method, asked in self.asked if method == "GET" and "list-type" not in asked and path in asked]

    def handle_error(self, request, client_address):
        pass  # a client that has left


@pytest.fixture(scope="session")
def moto_server():
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def proxy(aws, moto_server):
    """A proxy before an S3 with an empty bucket called ``images``; the client under test goes through it."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    for name, value in CREDENTIALS.items():
        aws.setenv(name, value)
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()
    with Proxy(moto_server) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        aws.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
        yield server
        s3.client().close()
        server.shutdown()
        thread.join()


@pytest.fixture
def put(proxy):
    """A function that puts objects into ``images``, past the proxy."""
    import boto3

    client = boto3.client("s3", endpoint_url="http://{}:{}".format(*proxy.behind))
    client.create_bucket(Bucket="images")

    def put(objects):
        for key, data in objects.items():
            client.put_object(Bucket="images", Key=key, Body=data)

    yield put
    client.close()

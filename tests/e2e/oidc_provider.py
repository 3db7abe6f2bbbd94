"""A tiny OpenID Connect provider on the loopback, for tests: it lets in whoever `email` names, without a password."""

from __future__ import annotations

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from authlib.jose import JsonWebKey, jwt


class Provider:
    """Discovery, authorisation, tokens and keys, as a context manager.

    Attributes:
        email: who logs in next.
        verified: whether the provider has checked that address.
        url: its issuer.
    """

    def __init__(self, client: str, secret: str) -> None:
        self.client, self.secret = client, secret
        self.email, self.verified = "anna@school.example", True
        self._key = JsonWebKey.generate_key("RSA", 2048, {"kid": "one"}, is_private=True)
        self._codes: dict[str, dict[str, Any]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = {k: v[0] for k, v in parse_qs(parts.query).items()}
                if parts.path == "/authorize":
                    code = provider._authorise(asked)
                    back = urlencode({"code": code, "state": asked["state"]})
                    self.send_response(302)
                    self.send_header("Location", f"{asked['redirect_uri']}?{back}")
                    self.end_headers()
                elif parts.path == "/.well-known/openid-configuration":
                    self._answer(provider._discovery())
                elif parts.path == "/keys":
                    self._answer({"keys": [provider._key.as_dict(is_private=False)]})
                else:
                    self.send_error(404)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(provider._token({k: v[0] for k, v in parse_qs(body).items()}))

            def _answer(self, value: dict[str, Any]) -> None:
                content = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Provider:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _authorise(self, asked: dict[str, str]) -> str:
        assert asked["client_id"] == self.client
        code = secrets.token_urlsafe()
        self._codes[code] = {"nonce": asked.get("nonce"), "email": self.email, "email_verified": self.verified}
        return code

    def _token(self, asked: dict[str, str]) -> dict[str, Any]:
        facts = self._codes.pop(asked["code"])  # a code is good once
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.client, "sub": facts["email"], "iat": now, "exp": now + 600, **facts}
        token = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self._key).decode()
        return {"access_token": secrets.token_urlsafe(), "token_type": "Bearer", "id_token": token, "expires_in": 600}

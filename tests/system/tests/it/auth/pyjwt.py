"""Verifies a token by the JWKS of its issuer with PyJWT, and one whose claims were changed."""

import json
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode

import jwt

url, token, algorithm = sys.argv[1:]


def tampered(token):
    header, claims, signature = token.split(".")
    claims = {**json.loads(urlsafe_b64decode(claims + "==")), "roles": ["operator"]}
    claims = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{header}.{claims}.{signature}"


def verify(token):
    key = jwt.PyJWKClient(f"{url}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    return jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        issuer="http://127.0.0.1:8080",
        audience="platform",
        options={"require": ["iss", "aud", "sub", "exp", "iat", "jti", "client_id"]},
    )


header = jwt.get_unverified_header(token)
assert (header["alg"], header["typ"]) == (algorithm, "at+jwt"), header
assert verify(token)["roles"] == ["owner"]
try:
    verify(tampered(token))
except jwt.InvalidSignatureError:
    print("the token is believed, and no other")

"""Verifies a token by the JWKS of its issuer with Authlib, by its rules of RFC 9068, and one whose claims were changed."""

import json
import sys
import urllib.request
from base64 import urlsafe_b64decode, urlsafe_b64encode

from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet

url, token, algorithm = sys.argv[1:]
ISSUER = "http://127.0.0.1:8080"


def tampered(token):
    header, claims, signature = token.split(".")
    claims = {**json.loads(urlsafe_b64decode(claims + "==")), "roles": ["operator"]}
    claims = urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{header}.{claims}.{signature}"


def get(url):
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


class Validator(JWTBearerTokenValidator):
    def get_jwks(self):
        return get(url + get(f"{url}/.well-known/openid-configuration")["jwks_uri"].removeprefix(ISSUER))

    # As in Authlib, with the algorithm said: by itself it takes RS256 and ES256 alone.
    def authenticate_token(self, token_string):
        keys = KeySet.import_key_set(self.get_jwks())
        token = jwt.decode(token_string, keys, algorithms=[algorithm])
        required = ["exp", "sub", "client_id", "iat", "jti"]
        options = {name: {"essential": True} for name in required}
        options["iss"] = {"essential": True, "value": self.issuer}
        options["aud"] = {"essential": True, "value": self.resource_server}
        return JWTAccessTokenClaims(token.claims, token.header, options)


validator = Validator(ISSUER, "platform")
validator.validate_token(validator.authenticate_token(token), [], None, roles=["owner"])
try:
    validator.authenticate_token(tampered(token))
except BadSignatureError:
    print("the token is believed, and no other")

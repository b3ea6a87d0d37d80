"""Who may come in: one statement for each request, whatever its token is.

What a token cannot hide (its signature, its checksum, its time) is looked at first, so that nonsense never reaches the
database. What may change meanwhile is read there every time: that the sign-in or the token was not ended, that the
account is active, and which role it has. A role that was taken away counts at once.
"""

from sqlalchemy import text

from bottega.access import opaque
from bottega.access.signing import Claims, InvalidToken, TokenKeys
from bottega.access.types import Identity, Scope, allowed
from bottega.db.transaction import Database


class Door:
    def __init__(self, *, database: Database, keys: TokenKeys) -> None:
        self._database = database
        self._keys = keys

    async def admit(self, token: str) -> Identity:
        """Return whose token this is and what it allows now. Raise InvalidToken."""
        if token.startswith(opaque.PERSONAL):
            return await self._personal(token)
        return await self._signed_in(self._keys.read(token))

    async def _signed_in(self, claims: Claims) -> Identity:
        given = {"user_id": claims.user_id, "sign_in_id": claims.sign_in_id}
        person = (await self._database.autocommit.execute(_SIGNED_IN, given)).one_or_none()
        if person is None:
            raise InvalidToken
        scopes = allowed(claims.scopes, role=person.role)
        return Identity(user_id=claims.user_id, role=person.role, scopes=scopes, sign_in_id=claims.sign_in_id)

    async def _personal(self, token: str) -> Identity:
        if not opaque.is_one(token, prefix=opaque.PERSONAL):
            raise InvalidToken
        found = (await self._database.autocommit.execute(_PERSONAL, {"sha256": opaque.sha256(token)})).one_or_none()
        if found is None:
            raise InvalidToken
        scopes = allowed(map(Scope, found.scopes), role=found.role)
        return Identity(user_id=found.user_id, role=found.role, scopes=scopes, token_id=found.id)


_SIGNED_IN = text("""
SELECT person.role FROM users AS person JOIN sign_ins AS sign_in ON sign_in.user_id = person.id
WHERE person.id = :user_id AND sign_in.id = :sign_in_id AND sign_in.ended_at IS NULL AND person.status = 'active'
""")

# The use is noted once an hour at most: a read that writes every time would make a hot row of every busy token.
_PERSONAL = text("""
WITH token AS (
    SELECT token.id, token.user_id, ARRAY(SELECT jsonb_array_elements_text(token.scopes)) AS scopes, person.role
    FROM personal_tokens AS token JOIN users AS person ON person.id = token.user_id
    WHERE token.token_sha256 = :sha256 AND token.revoked_at IS NULL AND token.expires_at > now()
        AND person.status = 'active'
), used AS (
    UPDATE personal_tokens SET last_used_at = now() FROM token
    WHERE personal_tokens.id = token.id
        AND (personal_tokens.last_used_at IS NULL OR personal_tokens.last_used_at < now() - interval '1 hour')
)
SELECT id, user_id, scopes, role FROM token
""")

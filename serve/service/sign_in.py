"""Lets in whom Google or Microsoft know, and makes their account the first time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from serve.credentials.id_tokens import IdTokens, Person
from serve.service.accounts import AccountService, TokenPair
from serve.service.attempts import Attempts
from serve.service.emails import normalised_email
from storage.catalog import Identities
from vectoray.core.accounts import User
from vectoray.core.errors import InvalidRequest, PermissionDenied, Unauthenticated

_MAX_NAME = 255


@dataclass(frozen=True, slots=True)
class SignInService:
    """Users, as they come from other providers.

    Attributes:
        providers: Name -> who checks its tokens; those that are configured.
    """

    providers: Mapping[str, IdTokens]
    identities: Identities
    accounts: AccountService
    attempts: Attempts

    async def sign_in_with(self, provider: str, token: str, address: str) -> TokenPair:
        """Tokens of ours for an ID token of a provider.

        Who comes for the first time gets the account with their email, or a new one without a password. That
        takes an email for which the provider vouches. An account that somebody made with the email without
        proving that it is theirs loses its password, tokens and keys then.

        Args:
            provider: Such as ``google``.
            token: The ID token.
            address: Whence it was sent, see `Attempts`.

        Raises:
            InvalidRequest: This server does not know the provider.
            Unauthenticated: The token is wrong, or the user is not active.
            PermissionDenied: Somebody new, without an email that can be believed.
            Unavailable: The provider's keys cannot be fetched now.
            RateLimited: Too many attempts came from this address.
        """
        tokens = self.providers.get(provider)
        if tokens is None:
            raise InvalidRequest(
                f"Sign-in with {provider.capitalize()} is not configured on this server; log in with email "
                "and password, or ask its administrator."
            )
        await self.attempts.count(address)
        person = await tokens.check(token)
        user = await self.identities.find(person.identity) or await self._claim(person)
        if not user.is_active:
            raise Unauthenticated("This account is not active.")
        return await self.accounts.begin_session(user)

    async def _claim(self, person: Person) -> User:
        email = None if person.email is None else normalised_email(person.email)
        # Addresses with other letters may share a spelling with somebody else's.
        if email is None or person.email is None or not person.email.isascii():
            raise PermissionDenied(
                "The provider does not vouch for an email of yours, so no account can be found or made; "
                "register with email and password instead."
            )
        now = datetime.now(UTC)
        newcomer = User(
            id=str(uuid4()),
            email=email,
            name=person.name.replace("\0", "")[:_MAX_NAME],
            is_admin=False,
            is_active=True,
            created_at=now,
            email_verified=True,
        )
        return await self.identities.claim(person.identity, newcomer, now)

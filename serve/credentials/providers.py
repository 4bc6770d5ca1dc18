"""The providers that one may sign in with, by the settings."""

from collections.abc import Mapping

from serve.account_settings import AccountSettings
from serve.credentials.id_tokens import GOOGLE, MICROSOFT, GoogleIdTokens, IdTokens, MicrosoftIdTokens
from serve.credentials.key_set import KeySet


def configured_providers(settings: AccountSettings) -> Mapping[str, IdTokens]:
    """Name -> who checks the provider's tokens. A provider without client ids is not configured."""
    providers: dict[str, IdTokens] = {}
    if settings.google_client_ids:
        keys = KeySet(settings.google_keys_url)
        providers[GOOGLE] = GoogleIdTokens(settings.google_client_ids, keys)
    if settings.microsoft_client_ids:
        providers[MICROSOFT] = MicrosoftIdTokens(
            settings.microsoft_client_ids,
            settings.microsoft_tenants,
            settings.microsoft_email_tenants,
            KeySet(settings.microsoft_keys_url),
        )
    return providers

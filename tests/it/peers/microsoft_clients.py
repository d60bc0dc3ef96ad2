"""The vendor's own clients ask a double for tokens: URL TENANT CLIENT SECRET SCOPE FOLDER."""

import sys

import msal
from azure.identity import ClientSecretCredential

url, tenant, client, secret, scope, folder = sys.argv[1:]
authority = f"{url}/{tenant}"


def say(what, answer):
    print(f"{what}: {'token' if 'access_token' in answer else answer.get('error_description', answer)}")


credential = ClientSecretCredential(tenant, client, secret, authority=url, disable_instance_discovery=True)
print("azure-identity secret:", "token" if credential.get_token(scope).token else "nothing")


def app(credential):
    return msal.ConfidentialClientApplication(
        client, authority=authority, client_credential=credential, instance_discovery=False, validate_authority=False
    )


say("msal secret", app(secret).acquire_token_for_client([scope]))
say("msal wrong secret", app("wrong").acquire_token_for_client([scope]))
with open(f"{folder}/app.key", encoding="ascii") as key, open(f"{folder}/app.pem", encoding="ascii") as certificate:
    certified = {"private_key": key.read(), "public_certificate": certificate.read()}
say("msal certificate", app(certified).acquire_token_for_client([scope]))

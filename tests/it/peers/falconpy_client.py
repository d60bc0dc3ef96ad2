"""CrowdStrike's own client finds and keeps the streams of a double: URL CLIENT SECRET CA."""

import sys

from falconpy import EventStreams, OAuth2

url, client, secret, ca = sys.argv[1:]

login = OAuth2(client_id=client, client_secret=secret, base_url=url, ssl_verify=ca)
print("token:", login.token()["status_code"])

streams = EventStreams(client_id=client, client_secret=secret, base_url=url, ssl_verify=ca)
listed = streams.list_available_streams(app_id="Oracle", format="json")
resources = listed["body"]["resources"]
print("streams:", listed["status_code"], len(resources))
partition = resources[0]["dataFeedURL"].split("?")[0].rsplit("/", 1)[1]
kept = streams.refresh_active_stream(
    action_name="refresh_active_stream_session", app_id="Oracle", partition=int(partition)
)
print("refresh:", kept["status_code"])
print("wrong app id:", streams.list_available_streams(app_id="with-dashes")["status_code"])

wrong = OAuth2(client_id=client, client_secret="wrong", base_url=url, ssl_verify=ca)
print("wrong secret:", wrong.token()["status_code"])

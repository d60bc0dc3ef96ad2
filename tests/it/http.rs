//! The HTTP client against a server of files: through a proxy, up to a limit, and with words for what is wrong.

use std::time::Duration;

use sapphire_edge::net::http::{HttpClient, HttpError, Reach, Url};
use sapphire_edge::net::tls::ClientConfig;
use sapphire_edge::net::{Endpoint, Proxy};

use crate::peers::certificates::Authority;
use crate::peers::proxy;
use crate::peers::site::{Manner, Site};

/// `user:password` in base64.
const LOGIN: &str = "proxy-authorization: Basic dXNlcjpwYXNzd29yZA==";

fn tls(authority: &Authority) -> ClientConfig {
    ClientConfig { ca: Some(authority.ca()), ..ClientConfig::default() }
}

async fn client(tls: &ClientConfig, proxy: Option<&Proxy>) -> HttpClient {
    let timeout = Duration::from_secs(20);
    HttpClient::new(&Reach { tls, proxy, connect_timeout: timeout, read_timeout: timeout }).await.unwrap()
}

async fn body(client: &HttpClient, url: &str) -> Result<Vec<u8>, HttpError> {
    client.get(&Url::parse(url).unwrap(), &[]).await?.body(1_000).await
}

#[tokio::test]
async fn a_file_comes_through_the_proxy_only_with_the_right_password() {
    let authority = Authority::new();
    let site = Site::start(&authority.identity("127.0.0.1"));
    site.put("/file", b"content".to_vec());
    let proxy = proxy::Proxy::start(LOGIN).await;
    let password = authority.folder().join("password");
    std::fs::write(&password, "password\n").unwrap();
    let mut way = Proxy {
        endpoint: Endpoint::from(proxy.address()),
        user: Some("user".to_owned()),
        password_file: Some(password.clone()),
    };
    let tls = tls(&authority);
    let through = client(&tls, Some(&way)).await;
    assert_eq!(body(&through, &site.url("/file")).await.unwrap(), b"content");
    std::fs::write(&password, "other\n").unwrap();
    let error = body(&client(&tls, Some(&way)).await, &site.url("/file")).await.unwrap_err();
    assert!(error.to_string().contains("proxy authorization required; check the proxy"), "{error}");
    way.password_file = Some(authority.folder().join("nowhere"));
    let reach = Reach {
        tls: &tls,
        proxy: Some(&way),
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(1),
    };
    let error = HttpClient::new(&reach).await.unwrap_err();
    assert!(error.to_string().contains("cannot read the proxy's password file"), "{error}");
    assert_eq!(site.asked("/file").len(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let authority = Authority::new();
    let site = Site::start(&authority.identity("127.0.0.1"));
    site.put("/large", vec![0; 1_001]);
    site.put("/right", vec![0; 1_000]);
    let tls = tls(&authority);
    let direct = client(&tls, None).await;
    assert_eq!(body(&direct, &site.url("/right")).await.unwrap().len(), 1_000);
    let say = async |url: String| body(&direct, &url).await.unwrap_err();
    let error = say(site.url("/large")).await;
    assert!(matches!(error, HttpError::TooLarge { limit: 1_000, .. }) && !error.is_passing(), "{error}");
    let error = say(site.url("/nowhere?token=secret")).await;
    assert!(error.to_string().ends_with("/nowhere is not there (404); check the address"), "{error}");
    site.change(Manner { busy: 1, ..Manner::default() });
    let error = say(site.url("/right")).await;
    assert!(error.is_passing() && error.retry_after() == Some(Duration::from_secs(1)), "{error}");
    site.change(Manner { cut_after: Some(10), ..Manner::default() });
    let error = say(site.url("/right")).await;
    assert!(error.is_passing() && error.to_string().contains("broke"), "{error}");
    let error = say(site.url("/right").replace("https", "http")).await;
    assert!(matches!(error, HttpError::Broken { .. }), "never in the clear: {error}");
    let error = say("https://127.0.0.1:1/".to_owned()).await;
    assert!(error.is_passing() && error.to_string().contains("127.0.0.1:1"), "{error}");
    drop(site);

    let expired = Site::start(&authority.expired("127.0.0.1"));
    let error = say(expired.url("/")).await;
    assert!(!error.is_passing() && error.to_string().contains("it expired on 2021-01-01"), "{error}");
    let other = Site::start(&authority.identity("updates.example.net"));
    other.put("/", b"hello".to_vec());
    let error = say(other.url("/")).await;
    assert!(error.to_string().contains("it is for updates.example.net, not for 127.0.0.1"), "{error}");
    let named = ClientConfig { server_name: Some("updates.example.net".to_owned()), ..tls.clone() };
    assert_eq!(body(&client(&named, None).await, &other.url("/")).await.unwrap(), b"hello");
}

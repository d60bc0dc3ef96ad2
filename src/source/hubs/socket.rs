//! The way to the namespace: TCP and TLS as everywhere in the house, through the site's proxy where it has one, and a
//! WebSocket on top where the site lets only port 443 out.
//!
//! Facts: Microsoft, "AMQP 1.0 protocol guide": path `/$servicebus/websocket`, sub-protocol `amqp`; its libraries end the path
//! with a slash.

use std::fmt;

use fe2o3_amqp_ws::WebSocketStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::fault::{Doing, Fault};
use super::settings::{Config, Transport};
use crate::event::Origin;
use crate::net::tls::{ClientConfig, Connector, TlsError};
use crate::net::{Dialer, Endpoint};

/// What AMQP runs on.
pub(super) trait Bytes: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Bytes for T {}

/// What checks the namespace's certificate: it must hold the namespace's name, whatever is dialled in its place.
///
/// # Errors
/// When the TLS settings cannot be used.
pub(super) fn connector(tls: &ClientConfig, namespace: &str) -> Result<Connector, TlsError> {
    let server_name = tls.server_name.clone().or_else(|| Some(namespace.to_owned()));
    ClientConfig { server_name, ..tls.clone() }.build()
}

/// Makes a connection that carries AMQP.
///
/// # Errors
/// As the dial fails, or what answers is no WebSocket of Event Hubs.
pub(super) async fn dial(config: &Config, namespace: &str, tls: &Connector) -> Result<(Box<dyn Bytes>, Origin), Fault> {
    let endpoint = match &config.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => format!("{namespace}:{}", config.transport.port()).parse::<Endpoint>().map_err(Fault::Broken)?,
    };
    let connect_timeout = config.connect_timeout.0;
    let dialer = Dialer { endpoint, proxy: config.proxy(), tls: Some(tls.clone()), connect_timeout };
    let stream = dialer.dial().await.map_err(Fault::Dial)?;
    let origin = stream.origin();
    if config.transport == Transport::Amqp {
        return Ok((Box::new(stream), origin));
    }
    let address = format!("wss://{namespace}/$servicebus/websocket/");
    let upgraded = timeout(connect_timeout, WebSocketStream::connect_with_stream(address, stream)).await;
    let socket = upgraded.map_err(|_| Fault::Silent(Doing::Connect))?;
    let socket = socket.map_err(|error| Fault::Broken(format!("it is no WebSocket of Event Hubs ({error})")))?;
    Ok((Box::new(socket), origin))
}

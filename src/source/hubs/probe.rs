//! One look at every hub and consumer group of a source, as `source test` wants it: logs in, asks for the partitions, and
//! opens a reader at one of them, which gets no event.
//!
//! The reader has no owner level, so it pushes nobody out. Where one with an owner level reads already, the service refuses
//! ours, but not before it has looked at login and group: nothing is wrong then.

use super::amqp::{Attach, From, Wire};
use super::fault::{Cure, Fault, Where};
use super::hub::{audience, resource};
use super::login::Login;
use super::settings::Config;
use super::socket;
use crate::clock::Clock;
use crate::source::Finding;

/// See [`crate::source::test`].
pub(in crate::source) async fn test(config: &Config, clock: &Clock) -> Vec<Finding> {
    let nowhere = Where { namespace: "the namespace", hub: "", group: "", partition: "", login: config.login_name() };
    let (login, namespace, hubs) = match Login::read(config, clock).await {
        Ok(read) => read,
        Err(fault) => return vec![finding(config.id.as_str(), &nowhere, Err(fault))],
    };
    let mut findings = Vec::new();
    for hub in &hubs {
        let place = Where { namespace: &namespace, hub, ..nowhere };
        let name = format!("{namespace}/{hub}");
        match connect(config, &login, &place).await {
            Ok((wire, partition)) => {
                findings.push(finding(&name, &place, Ok(())));
                findings.extend(groups(config, wire, &place, &partition).await);
            }
            Err(fault) => findings.push(finding(&name, &place, Err(fault))),
        }
    }
    findings
}

/// A connection that is logged in, and one of the hub's partitions.
async fn connect(config: &Config, login: &Login, place: &Where<'_>) -> Result<(Wire, String), Fault> {
    let tls = socket::connector(&config.tls, place.namespace);
    let tls = tls.map_err(|error| Fault::Secret(error.to_string(), "mend the table tls of this source".into()))?;
    let resource = resource(place.namespace, place.hub);
    let token = login.token(&resource).await?;
    let (stream, _) = socket::dial(config, place.namespace, &tls).await?;
    let mut wire = Wire::open(stream, place.namespace).await?;
    for group in &config.consumer_group {
        wire.login(&audience(&resource, group), &token).await?;
    }
    let facts = wire.hub(place.hub, &token).await?;
    let partition = facts.partitions.into_iter().next();
    Ok((wire, partition.ok_or_else(|| Fault::Broken("its properties name no partition".into()))?))
}

async fn groups(config: &Config, mut wire: Wire, place: &Where<'_>, partition: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for group in &config.consumer_group {
        let attach = Attach { hub: place.hub, group, partition, from: From::Earliest, owner_level: None };
        let attached = match wire.attach(&attach).await {
            Err(fault) if !matches!(fault.cure(), Cure::Yield(_)) => Err(fault),
            _ => Ok(()),
        };
        let name = format!("{}/{}/{group}", place.namespace, place.hub);
        findings.push(finding(&name, &Where { group, partition, ..*place }, attached));
    }
    wire.close().await;
    findings
}

fn finding(name: &str, place: &Where<'_>, looked: Result<(), Fault>) -> Finding {
    match looked {
        Ok(()) => Finding::right(name),
        Err(fault) => {
            let (what, todo) = fault.words(place);
            Finding::wrong(name, what, todo)
        }
    }
}

use nix::sys::signal::Signal;
use sapphire_edge::status::{Component, Gauge};
use serde_json::json;

use super::{BOX, ID, LISTENER, Operator, status};
use crate::peers::appliance::{Appliance, program, until};
use crate::peers::certificates::Identity;
use crate::proxy::tinyproxy;

fn is_healthy(edge: &Appliance) {
    edge.line(Component::Box, "fleet", |line| line.health.word() == "healthy");
}

fn restart_source(edge: &Appliance) {
    let done = program().args(["source", "restart", "firewalls", "--config"]).arg(edge.settings()).status().unwrap();
    assert!(done.success());
}

#[test]
fn what_happens_while_the_broker_is_away_is_told_when_it_is_back_also_after_a_kill() {
    let Some(mut operator) = Operator::start() else { return };
    let ear = operator.listen();
    let mut edge = operator.start_box();
    is_healthy(&edge);
    restart_source(&edge);
    ear.event("source_restarted");
    operator.broker.kill();
    let line = edge.line(Component::Box, "fleet", |line| line.health.fault().is_some());
    let fault = line.health.fault().unwrap();
    assert_eq!(line.health.word(), "degraded", "the box itself works");
    assert!(fault.what.contains("its own work goes on"), "{fault:?}");
    (0..3).for_each(|_| restart_source(&edge));
    edge.line(Component::Box, "fleet", |line| line.gauge(Gauge::KeptMessages) >= 3);
    let store = edge.folder().join("fleet/store.json");
    let is_kept = || std::fs::read_to_string(&store).unwrap().matches("source_restarted").count() >= 3;
    until("they are on the disk", || is_kept().then_some(()));
    assert!(!status(&edge).1);
    edge.kill();
    operator.broker.restart(LISTENER);
    let ear = operator.listen();
    edge.restart();
    is_healthy(&edge);
    let told = || ear.all("event").into_iter().filter(|json| json["action"] == "source_restarted").collect::<Vec<_>>();
    let told = until("all three are told", || Some(told()).filter(|told| told.len() >= 3));
    assert_eq!(told.len(), 3, "once each");
    edge.line(Component::Box, "fleet", |line| line.gauge(Gauge::KeptMessages) == 0);
    ear.is_as_described();
    // It comes back by itself, too.
    operator.broker.kill();
    edge.line(Component::Box, "fleet", |line| line.health.fault().is_some());
    operator.broker.restart(LISTENER);
    is_healthy(&edge);
    edge.stop();
}

#[test]
fn a_command_that_was_sent_while_the_box_was_away_arrives() {
    let Some(operator) = Operator::start() else { return };
    let ear = operator.listen();
    let mut edge = operator.start_box();
    is_healthy(&edge);
    edge.signal(Signal::SIGTERM);
    edge.wait();
    ear.until("it has gone", "status", |json| json["health"] == "stopped");
    let command = operator.send(&json!({"restart_source": {"source": "firewalls"}}));
    edge.restart();
    assert_eq!(ear.answer(&command)["outcome"], "done");
    edge.stop();
}

#[test]
fn a_certificate_that_was_renewed_is_shown_with_a_new_connection() {
    let Some(operator) = Operator::start() else { return };
    let ear = operator.listen();
    let authority = &operator.broker.authority;
    let (first, second) = (authority.identity(ID), authority.identity(ID));
    let own = Identity { cert: authority.folder().join("own.pem"), key: authority.folder().join("own.key") };
    let put = |identity: &Identity| {
        std::fs::copy(&identity.key, &own.key).unwrap();
        std::fs::copy(&identity.cert, &own.cert).unwrap();
    };
    put(&first);
    let edge = Appliance::start(&format!("{}{}", BOX, operator.settings(&own)));
    is_healthy(&edge);
    let before = operator.broker.log().matches("as edge-7").count();
    put(&second);
    edge.log_line(&["the certificate for the fleet is another one"]);
    until("it comes anew", || (operator.broker.log().matches("as edge-7").count() > before).then_some(()));
    is_healthy(&edge);
    let lost = ear.all("status").into_iter().any(|json| json["health"] == "lost");
    assert!(!lost, "it left with a goodbye");
    // One that cannot be used leaves the connection as it is, and says so where certificates are listed.
    std::fs::write(&own.cert, "nothing").unwrap();
    edge.line(Component::Box, "fleet", |line| line.health.word() == "healthy");
    edge.stop();
}

#[test]
fn the_way_to_the_broker_leads_through_tinyproxy_with_the_right_password_only() {
    let Some(operator) = Operator::start() else { return };
    let folder = operator.broker.authority.folder();
    let Some((_proxy, proxy)) = tinyproxy(folder, operator.broker.address()) else { return };
    let password = folder.join("proxy-password");
    std::fs::write(&password, "wrong\n").unwrap();
    let with = format!("[fleet]\nproxy = \"{proxy}\"\nproxy_user = \"edge\"\nproxy_password_file = {password:?}\n");
    let settings = operator.settings(&operator.broker.authority.identity(ID)).replacen("[fleet]\n", &with, 1);
    let ear = operator.listen();
    let edge = Appliance::start(&format!("{BOX}{settings}"));
    let line = edge.line(Component::Box, "fleet", |line| line.health.fault().is_some());
    let fault = line.health.fault().unwrap();
    assert!(fault.what.contains("proxy") && fault.todo.contains("password"), "{fault:?}");
    assert!(!operator.broker.log().contains("as edge-7"), "nothing went around the proxy");
    // The file is read at every try, so a mended password needs no restart.
    std::fs::write(&password, "open-sesame\n").unwrap();
    is_healthy(&edge);
    let command = operator.send(&json!({"restart_source": {"source": "firewalls"}}));
    assert_eq!(ear.answer(&command)["outcome"], "done");
    let log = std::fs::read_to_string(folder.join("tinyproxy.log")).unwrap();
    assert!(log.contains(&format!("CONNECT {}", operator.broker.address())), "{log}");
    edge.stop();
}

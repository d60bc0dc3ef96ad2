//! What russh asks of us in a session: who may log in, and what becomes of a channel.
//!
//! Everything happens inside russh's own task: what a channel sends is dealt with before the next packet is read, so that a slow
//! disk holds the device back, and nothing has to be queued.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use russh::keys::ssh_key::PublicKey;
use russh::keys::{Algorithm, HashAlg};
use russh::server::{Auth, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Pty, Sig};

use super::command;
use super::guard::Meter;
use super::inbox::{Inbox, one_line};
use super::scp::{Reply, Scp};
use super::sftp::Sftp;
use crate::event::Notice;
use crate::source::ssh::Shared;
use crate::source::ssh::devices::{Account, Unknown, asked};
use crate::source::ssh::keys::algorithms::Age;
use crate::source::ssh::keys::authorized::NotNow;

/// Channels of one connection: OpenSSH's server allows 10.
const CHANNELS: usize = 10;

/// One connection.
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) age: Age,
    pub(super) peer: SocketAddr,
    pub(super) meter: Arc<Meter>,
    pub(super) account: Option<Arc<Account>>,
    pub(super) channels: HashMap<ChannelId, Work>,
}

/// What a channel does.
pub(super) enum Work {
    /// Nothing was asked of it yet.
    Idle,
    Scp(Box<Scp>),
    Sftp(Box<Sftp>),
}

impl Door {
    /// Refuses a key or password, after a wait that grows with the failures of its address.
    async fn reject(&self) -> Auth {
        self.meter.refused.store(true, Ordering::Relaxed);
        tokio::time::sleep(self.shared.doorman.delay(&self.peer.ip())).await;
        Auth::reject()
    }

    async fn find(&self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Option<Arc<Account>> {
        let (shared, name, own, peer) = (Arc::clone(&self.shared), user.to_owned(), key.clone(), self.peer.ip());
        let now = self.shared.clock.now();
        let found = asked(move || shared.devices.of_key(&name, &own, peer, now)).await?;
        match found {
            Ok(account) if self.age.takes(algorithm) => Some(account),
            Ok(account) => {
                self.weak(&account, algorithm);
                None
            }
            Err(Unknown::NotNow(device, why)) => {
                self.not_now(&device, key, why);
                None
            }
            Err(Unknown::Key) => {
                self.unknown(user, key);
                None
            }
        }
    }

    /// A key that is right, but proved by an algorithm that is too weak here.
    fn weak(&self, account: &Account, algorithm: &Algorithm) {
        let name = match algorithm {
            Algorithm::Rsa { hash: None } => "ssh-rsa with SHA-1",
            Algorithm::Dsa => "ssh-dss",
            _ => "an algorithm that is not taken here",
        };
        let what = format!(
            "the device offered only {name}: let it connect to an address that is listed under legacy, or update AsyncOS"
        );
        self.shared.devices.failed(&account.device.name, self.shared.clock.now(), what);
    }

    fn not_now(&self, device: &str, key: &PublicKey, why: NotNow) {
        let what = match why {
            NotNow::Expired => "its key has expired: give it a new one, or take expiry-time= out",
            NotNow::WrongAddress => "its key was used from an address that from= does not hold",
        };
        self.shared.devices.failed(device, self.shared.clock.now(), format!("{what} ({})", self.peer.ip()));
        self.tell("ssh_key_refused", &format!("{device}: {what}"), &[("device", device.to_owned())], key);
    }

    fn unknown(&self, user: &str, key: &PublicKey) {
        let user = one_line(user);
        self.tell(
            "ssh_key_unknown",
            &format!("the user {user:?} offered a key that no device has"),
            &[("user", user.clone())],
            key,
        );
    }

    /// An event about a key, now and then.
    fn tell(&self, action: &'static str, message: &str, facts: &[(&str, String)], key: &PublicKey) {
        let Some(left_out) = self.shared.refusals.due() else { return };
        let own = [
            ("source", self.shared.config.id.to_string()),
            ("peer", self.peer.to_string()),
            ("fingerprint", key.fingerprint(HashAlg::Sha256).to_string()),
            ("left_out", left_out.to_string()),
        ];
        let facts: Vec<_> = own.into_iter().chain(facts.iter().cloned()).collect();
        let message = format!("{message}, from {}", self.peer);
        self.shared.teller.tell(Notice::new(action, false, message, &facts));
    }

    fn inbox(&self) -> Option<Inbox> {
        let account = Arc::clone(self.account.as_ref()?);
        Some(Inbox { shared: Arc::clone(&self.shared), account, peer: self.peer, meter: Arc::clone(&self.meter) })
    }

    /// Sends an answer, and ends the channel where that is due.
    fn reply(&mut self, channel: ChannelId, reply: Reply, session: &mut Session) -> Result<(), russh::Error> {
        if !reply.bytes.is_empty() {
            session.data(channel, reply.bytes)?;
        }
        if let Some(exit) = reply.exit {
            // What still comes on it is passed over.
            self.channels.remove(&channel);
            session.exit_status_request(channel, exit)?;
            session.eof(channel)?;
            session.close(channel)?;
        }
        Ok(())
    }

    /// Ends a channel that asked for something else, in words.
    fn turn_away(&mut self, channel: ChannelId, words: &str, session: &mut Session) -> Result<(), russh::Error> {
        tracing::info!(peer = %self.peer, reason = words, "request refused");
        session.channel_success(channel)?;
        session.extended_data(channel, 1, format!("{words}\r\n"))?;
        self.reply(channel, Reply { bytes: Vec::new(), exit: Some(1) }, session)
    }

    fn is_idle(&self, channel: ChannelId) -> bool {
        matches!(self.channels.get(&channel), Some(Work::Idle))
    }
}

impl Handler for Door {
    type Error = russh::Error;

    async fn auth_none(&mut self, _user: &str) -> Result<Auth, Self::Error> {
        Ok(Auth::reject())
    }

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        match self.find(user, offer.public_key, offer.algorithm).await {
            Some(_) => Ok(Auth::Accept),
            None => Ok(self.reject().await),
        }
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.account = self.find(user, key.public_key, key.algorithm).await;
        if self.account.is_some() { Ok(Auth::Accept) } else { Ok(self.reject().await) }
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let (shared, user, password) = (Arc::clone(&self.shared), user.to_owned(), password.to_owned());
        self.account = asked(move || shared.devices.of_password(&user, &password)).await.flatten();
        if self.account.is_some() { Ok(Auth::Accept) } else { Ok(self.reject().await) }
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        self.meter.logged_in.store(true, Ordering::Relaxed);
        self.shared.doorman.succeeded(&self.peer.ip());
        let device = self.account.as_ref().map(|account| account.device.name.as_str());
        tracing::info!(device, peer = %self.peer, "logged in");
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.channels.len() >= CHANNELS || self.account.is_none() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        self.channels.insert(channel.id(), Work::Idle);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(inbox) = self.inbox().filter(|_| self.is_idle(channel)) else {
            return session.channel_failure(channel);
        };
        let begun = command::parse(data).and_then(|sink| Scp::new(inbox, &sink).map_err(str::to_owned));
        match begun {
            Ok((scp, first)) => {
                self.channels.insert(channel, Work::Scp(Box::new(scp)));
                session.channel_success(channel)?;
                self.reply(channel, first, session)
            }
            Err(words) => self.turn_away(channel, &words, session),
        }
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.inbox().filter(|_| self.is_idle(channel) && name == "sftp") {
            Some(inbox) => {
                self.channels.insert(channel, Work::Sftp(Box::new(Sftp::new(inbox))));
                session.channel_success(channel)
            }
            None => session.channel_failure(channel),
        }
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        if !self.is_idle(channel) {
            return session.channel_failure(channel);
        }
        self.turn_away(channel, "this box takes files by scp and sftp; there is no shell", session)
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        _term: &str,
        _col_width: u32,
        _row_height: u32,
        _pix_width: u32,
        _pix_height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn signal(&mut self, _channel: ChannelId, _signal: Sig, _session: &mut Session) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn data(&mut self, channel: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        let reply = match self.channels.get_mut(&channel) {
            Some(Work::Scp(scp)) => scp.feed(data).await,
            Some(Work::Sftp(sftp)) => sftp.feed(data).await,
            _ => Reply::default(),
        };
        self.reply(channel, reply, session)
    }

    async fn channel_eof(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        let exit = match self.channels.get_mut(&channel) {
            Some(Work::Scp(scp)) => scp.end().await,
            Some(Work::Sftp(sftp)) => sftp.end(),
            _ => return Ok(()),
        };
        self.reply(channel, Reply { bytes: Vec::new(), exit: Some(exit) }, session)
    }

    async fn channel_close(&mut self, channel: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&channel);
        Ok(())
    }
}

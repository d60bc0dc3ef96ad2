//! Who may use the page: the claim of a new box, accounts with passwords and roles, logins, sessions.
//!
//! In: what people type, and their addresses. Out: a visitor, or why not, in words. Floor 4 with the page; no HTTP here.
//!
//! Invariants: a box has no password until somebody who knows its claim code sets one; there is always an administrator
//! once there was one; a password is never kept, told or logged; an account that is not there costs as long as one that is.
//! Bounded: accounts, sessions, hashes at once (`password`), failures (by address and by name: slowed, then refused).
//!
//! Not supported: a second factor, and names of a directory (LDAP, OIDC).

mod claim;
mod password;
mod session;
mod store;

#[cfg(test)]
mod tests;

pub(super) use session::Visitor;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

use crate::clock::Clock;
use crate::net::Doorman;
use crate::secret::Secret;
use password::Hasher;
use session::Sessions;
use store::{Account, Book};

/// The claim code of the box whose state folder this is, while it waits to be claimed. Blocks on the disk.
///
/// # Errors
/// When it is there and cannot be read.
pub fn claim_code(state_dir: &Path) -> io::Result<Option<String>> {
    claim::read(&folder(state_dir))
}

/// Whether the box whose state folder this is has an account. Blocks on the disk.
#[must_use]
pub fn is_claimed(state_dir: &Path) -> bool {
    Book::open(&folder(state_dir).join(FILE)).is_ok_and(|book| book.administrators() > 0)
}

/// The names of all accounts of the box whose state folder this is. Blocks on the disk.
pub(super) fn names(state_dir: &Path) -> Vec<String> {
    let book = Book::open(&folder(state_dir).join(FILE));
    book.map(|book| book.accounts.into_keys().collect()).unwrap_or_default()
}

/// Where accounts, certificate, audit log and history lie.
pub(super) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("page")
}

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// Sees everything and changes everything.
    Administrator,
    /// Sees everything but the accounts, and changes nothing but its own password.
    Viewer,
}

impl Role {
    pub(in super::super) fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Viewer => "viewer",
        }
    }
}

/// Why something was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    /// Which of the two is wrong is not said.
    #[error("this name and password do not belong together")]
    WrongLogin,
    #[error("this is not the claim code of this box")]
    WrongCode,
    /// Of the own account, when it is changed.
    #[error("this is not your password")]
    WrongPassword,
    #[error("too many failed tries: wait {0} and try again")]
    Locked(crate::quantity::Span),
    #[error("{0}")]
    BadPassword(String),
    #[error("the two passwords are not the same; type the same one twice")]
    NotTheSame,
    #[error("{0}")]
    BadName(String),
    #[error("this name is taken; choose another one, or remove that account first")]
    NameTaken,
    #[error("there is no account of this name")]
    NoAccount,
    #[error("this is your own account; another administrator can remove it")]
    OwnAccount,
    #[error("this is the last administrator; make another one first")]
    LastAdministrator,
    #[error("there are {} accounts already; remove one first", store::MOST)]
    TooMany,
    #[error("the box has been claimed already; log in")]
    Claimed,
    #[error("others are logging in at this moment; try again in a few seconds")]
    Busy,
    #[error("the accounts cannot be written: {0}; see the disk's state on the overview")]
    Disk(#[source] io::Error),
    #[error("this did not work inside the box; try again, and tell the support if it stays so")]
    Broken,
}

impl AccountError {
    /// The field of a form that it is about.
    pub(super) fn field(&self) -> Option<&'static str> {
        match self {
            Self::WrongCode => Some("code"),
            Self::WrongPassword => Some("current"),
            Self::BadPassword(_) => Some("password"),
            Self::NotTheSame => Some("again"),
            Self::BadName(_) | Self::NameTaken => Some("name"),
            _ => None,
        }
    }
}

/// What a new session needs.
#[derive(Debug)]
pub(super) struct Login {
    /// For the cookie.
    pub(super) token: String,
    pub(super) role: Role,
}

/// An account as it is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) last_login: Option<String>,
    /// Until when it is refused, after too many failures (RFC 3339).
    pub(super) locked_until: Option<String>,
}

/// A name and a password that somebody chose, typed twice.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) name: String,
    pub(super) password: Secret<String>,
    pub(super) again: Secret<String>,
}

impl Chosen {
    fn check(&self) -> Result<(), AccountError> {
        let fault = store::name_fault(&self.name).map(AccountError::BadName);
        let fault = fault
            .or_else(|| password::fault(self.password.expose(), &self.name).map(AccountError::BadPassword))
            .or_else(|| (self.password.expose() != self.again.expose()).then_some(AccountError::NotTheSame));
        fault.map_or(Ok(()), Err)
    }
}

/// Limits of logins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// A session without use ends after this.
    pub(super) idle: Duration,
    /// Every session ends after this.
    pub(super) longest: Duration,
    /// Failures within an hour until an address or a name is refused...
    pub(super) ban_after: u32,
    /// ...for this long.
    pub(super) ban_for: crate::quantity::Span,
}

/// The accounts of the box.
#[derive(Debug)]
pub(super) struct Accounts {
    folder: PathBuf,
    clock: Clock,
    limits: Limits,
    hasher: Hasher,
    sessions: Sessions,
    addresses: Doorman<IpAddr>,
    names: Doorman<String>,
    book: Mutex<Book>,
    is_claimed: AtomicBool,
}

impl Accounts {
    /// Reads them, and makes the claim code of a box that has none. Blocks on the disk.
    ///
    /// # Errors
    /// When the files cannot be read or made.
    pub(super) fn open(folder: &Path, limits: Limits, clock: Clock) -> io::Result<Self> {
        let book = Book::open(&folder.join(FILE))?;
        let is_claimed = book.administrators() > 0;
        if is_claimed {
            claim::remove(folder)?;
        } else {
            claim::code(folder)?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            clock,
            limits,
            hasher: Hasher::new(),
            sessions: Sessions::new(limits.idle, limits.longest),
            addresses: Doorman::new(limits.ban_after, limits.ban_for.0),
            names: Doorman::new(limits.ban_after, limits.ban_for.0),
            book: Mutex::new(book),
            is_claimed: AtomicBool::new(is_claimed),
        })
    }

    /// Whether the box has an administrator.
    pub(super) fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Relaxed)
    }

    /// Makes the first administrator.
    ///
    /// # Cancel safety
    /// The account may be there although this was dropped; its password is then the one that was given.
    pub(super) async fn claim(&self, from: IpAddr, code: &str, chosen: Chosen) -> Result<Login, AccountError> {
        self.may_try(from, None)?;
        if self.is_claimed() {
            return Err(AccountError::Claimed);
        }
        let folder = self.folder.clone();
        let right = blocking(move || claim::code(&folder)).await?;
        if !claim::is(&right, code) {
            self.failed(from, None).await;
            return Err(AccountError::WrongCode);
        }
        chosen.check()?;
        let hash = self.hasher.hash(chosen.password).await?;
        let mut book = self.book.lock().await;
        // Two who know the code at the same moment: the second one comes too late.
        if book.administrators() > 0 {
            return Err(AccountError::Claimed);
        }
        let now = self.clock.now().to_string();
        let account = Account { role: Role::Administrator, hash, created: now.clone(), last_login: Some(now) };
        self.change(&mut book, |book| drop(book.accounts.insert(chosen.name.clone(), account))).await?;
        self.is_claimed.store(true, Ordering::Relaxed);
        self.addresses.succeeded(&from);
        let folder = self.folder.clone();
        if let Err(error) = blocking(move || claim::remove(&folder)).await {
            // It is worthless now, and goes at the next start.
            tracing::warn!(%error, "the claim code stays on the disk");
        }
        self.login_of(&chosen.name, Role::Administrator)
    }

    /// Begins a session.
    pub(super) async fn log_in(
        &self,
        from: IpAddr,
        name: &str,
        password: Secret<String>,
    ) -> Result<Login, AccountError> {
        self.may_try(from, Some(name))?;
        let known = self.book.lock().await.accounts.get(name).map(|account| (account.hash.clone(), account.role));
        let is_right = self.hasher.verify(password, known.as_ref().map(|(hash, _)| hash.as_str())).await?;
        // One whose tries ran at the same time as those that locked it is told no more than they were.
        self.may_try(from, Some(name))?;
        let Some((hash, role)) = known.filter(|_| is_right) else {
            self.failed(from, Some(name)).await;
            return Err(AccountError::WrongLogin);
        };
        self.addresses.succeeded(&from);
        self.names.succeeded(&name.to_owned());
        let mut book = self.book.lock().await;
        // It may have been removed or changed while the password was checked.
        if book.accounts.get(name).is_none_or(|account| account.hash != hash) {
            return Err(AccountError::WrongLogin);
        }
        let now = self.clock.now().to_string();
        let note = |book: &mut Book| {
            if let Some(account) = book.accounts.get_mut(name) {
                account.last_login = Some(now);
            }
        };
        if let Err(error) = self.change(&mut book, note).await {
            // On a full disk one must be able to log in all the more.
            tracing::warn!(%error, "the time of the login is not kept");
        }
        self.login_of(name, role)
    }

    /// Whose session it is; see [`Sessions::visitor`].
    pub(super) fn visitor(&self, token: &str, is_use: bool) -> Option<Visitor> {
        self.sessions.visitor(token, is_use)
    }

    /// Ends a session.
    pub(super) fn log_out(&self, token: &str) -> Option<Visitor> {
        self.sessions.end(token)
    }

    /// Makes an account.
    pub(super) async fn add(&self, chosen: Chosen, role: Role) -> Result<(), AccountError> {
        chosen.check()?;
        let hash = self.hasher.hash(chosen.password).await?;
        let mut book = self.book.lock().await;
        if book.accounts.contains_key(&chosen.name) {
            return Err(AccountError::NameTaken);
        }
        if book.accounts.len() >= store::MOST {
            return Err(AccountError::TooMany);
        }
        let account = Account { role, hash, created: self.clock.now().to_string(), last_login: None };
        self.change(&mut book, |book| drop(book.accounts.insert(chosen.name, account))).await
    }

    /// Takes an account away, and ends its sessions. Nobody does that to the own one: a slip would lock its owner out.
    pub(super) async fn remove(&self, name: &str, by: &str) -> Result<(), AccountError> {
        if name == by {
            return Err(AccountError::OwnAccount);
        }
        let mut book = self.book.lock().await;
        let role = book.accounts.get(name).map(|account| account.role).ok_or(AccountError::NoAccount)?;
        if role == Role::Administrator && book.administrators() == 1 {
            return Err(AccountError::LastAdministrator);
        }
        self.change(&mut book, |book| drop(book.accounts.remove(name))).await?;
        self.sessions.end_of(name);
        Ok(())
    }

    /// Changes the own password; all sessions of the account end, and a new one begins.
    pub(super) async fn change_password(
        &self,
        from: IpAddr,
        current: Secret<String>,
        chosen: Chosen,
    ) -> Result<Login, AccountError> {
        self.may_try(from, None)?;
        let name = chosen.name.clone();
        let before = self.book.lock().await.accounts.get(&name).map(|account| account.hash.clone());
        let before = before.ok_or(AccountError::NoAccount)?;
        if !self.hasher.verify(current, Some(&before)).await? {
            self.failed(from, None).await;
            return Err(AccountError::WrongPassword);
        }
        chosen.check()?;
        let hash = self.hasher.hash(chosen.password).await?;
        let mut book = self.book.lock().await;
        let unchanged = book.accounts.get(&name).filter(|account| account.hash == before);
        let role = unchanged.map(|account| account.role).ok_or(AccountError::NoAccount)?;
        let set = |book: &mut Book| {
            if let Some(account) = book.accounts.get_mut(&name) {
                account.hash = hash;
            }
        };
        self.change(&mut book, set).await?;
        self.sessions.end_of(&name);
        self.login_of(&name, role)
    }

    /// All accounts, as they are shown.
    pub(super) async fn list(&self) -> Vec<Shown> {
        let book = self.book.lock().await;
        let shown = book.accounts.iter().map(|(name, account)| Shown {
            name: name.clone(),
            role: account.role,
            last_login: account.last_login.clone(),
            locked_until: self.names.refused_for(name).map(|left| self.clock.now().after(left).to_string()),
        });
        shown.collect()
    }

    fn login_of(&self, name: &str, role: Role) -> Result<Login, AccountError> {
        Ok(Login { token: self.sessions.begin(name, role)?, role })
    }

    fn may_try(&self, from: IpAddr, name: Option<&str>) -> Result<(), AccountError> {
        let is_refused = self.addresses.refuses(&from) || name.is_some_and(|name| self.names.refuses(&name.to_owned()));
        if is_refused { Err(AccountError::Locked(self.limits.ban_for)) } else { Ok(()) }
    }

    /// Counts a failure, and keeps whoever failed often waiting for the answer.
    async fn failed(&self, from: IpAddr, name: Option<&str>) {
        self.addresses.failed(&from);
        let mut delay = self.addresses.delay(&from);
        // A name may be as long as a form; nobody has one that is.
        if let Some(name) = name.filter(|name| store::name_fault(name).is_none()) {
            self.names.failed(&name.to_owned());
            delay = delay.max(self.names.delay(&name.to_owned()));
        }
        sleep(delay).await;
    }

    /// Changes the book here and on the disk, or nowhere.
    async fn change(
        &self,
        book: &mut MutexGuard<'_, Book>,
        change: impl FnOnce(&mut Book),
    ) -> Result<(), AccountError> {
        let mut new = (**book).clone();
        change(&mut new);
        let (path, saved) = (self.folder.join(FILE), new.clone());
        blocking(move || saved.save(&path)).await?;
        **book = new;
        Ok(())
    }
}

/// The file of the accounts.
const FILE: &str = "accounts.json";

/// Does what blocks on the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, AccountError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| AccountError::Broken)?;
    done.map_err(AccountError::Disk)
}

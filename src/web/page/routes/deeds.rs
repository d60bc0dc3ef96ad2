//! What people do to accounts and settings, each with its line in the audit log: the same for forms and for programs.

use std::net::IpAddr;

use super::super::Shared;
use super::super::account::{AccountError, Chosen, Login, Role, Visitor};
use super::super::audit::Deed;
use crate::control::{Settings, SettingsReply};
use crate::secret::Secret;

impl Shared {
    async fn note<T>(
        &self,
        (action, message): (&'static str, String),
        (who, from): (&str, IpAddr),
        result: Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let outcome = result.as_ref().map(|_| ()).map_err(ToString::to_string);
        self.audit.note(Deed { action, who: who.to_owned(), from, outcome, message }).await;
        result
    }

    /// Makes the first administrator.
    pub(super) async fn claimed(&self, from: IpAddr, code: &str, chosen: Chosen) -> Result<Login, AccountError> {
        let name = chosen.name.clone();
        let result = self.accounts.claim(from, code, chosen).await;
        if result.is_ok() {
            self.look.notify_one();
        }
        // What somebody typed into a form that came back is no try to claim the box.
        if matches!(&result, Err(error) if error.field().is_some_and(|field| field != "code")) {
            return result;
        }
        self.note(("claim", format!("{name} claims the box")), (&name, from), result).await
    }

    /// Begins a session.
    pub(super) async fn logged_in(
        &self,
        from: IpAddr,
        name: &str,
        password: Secret<String>,
    ) -> Result<Login, AccountError> {
        let result = self.accounts.log_in(from, name, password).await;
        self.note(("login", format!("{name} logs in")), (name, from), result).await
    }

    /// Ends a session.
    pub(super) async fn logged_out(&self, from: IpAddr, token: &str) {
        if let Some(visitor) = self.accounts.log_out(token) {
            let deed = ("logout", format!("{} logs out", visitor.name));
            // Nothing that could fail was done.
            let _ = self.note(deed, (&visitor.name, from), Ok(())).await;
        }
    }

    /// Makes an account.
    pub(super) async fn added(
        &self,
        from: IpAddr,
        by: &Visitor,
        chosen: Chosen,
        role: Role,
    ) -> Result<(), AccountError> {
        let deed = ("account_added", format!("{} makes the account {} ({})", by.name, chosen.name, role.as_str()));
        let result = self.accounts.add(chosen, role).await;
        self.note(deed, (&by.name, from), result).await
    }

    /// Takes an account away.
    pub(super) async fn removed(&self, from: IpAddr, by: &Visitor, name: &str) -> Result<(), AccountError> {
        let result = self.accounts.remove(name, &by.name).await;
        self.note(("account_removed", format!("{} removes the account {name}", by.name)), (&by.name, from), result)
            .await
    }

    /// Sets the own password.
    pub(super) async fn password_changed(
        &self,
        from: IpAddr,
        current: Secret<String>,
        chosen: Chosen,
    ) -> Result<Login, AccountError> {
        let name = chosen.name.clone();
        let result = self.accounts.change_password(from, current, chosen).await;
        self.note(("password_changed", format!("{name} sets a new password")), (&name, from), result).await
    }

    /// Changes the settings, confirms a change, or takes it back. A change is answered with [`SettingsReply::Done`] where this page
    /// ends with it.
    pub(super) async fn changed(&self, from: IpAddr, by: &Visitor, wish: Settings) -> Result<SettingsReply, String> {
        let (action, what) = match wish {
            Settings::Confirm { .. } => ("settings_confirm", "confirms the settings"),
            Settings::TakeBack { .. } => ("settings_take_back", "takes the settings back"),
            _ => ("settings_apply", "takes settings into use"),
        };
        let result = tokio::select! {
            result = self.ask_settings(wish) => result,
            // With settings of another page this one ends, before it is known whether everything starts.
            () = self.context.stop.cancelled() => Ok(SettingsReply::Done),
        };
        let outcome = match &result {
            Ok(SettingsReply::TakenBack(why)) | Err(why) => Err(why.clone()),
            Ok(SettingsReply::Checked { .. }) => Err("they are wrong, nothing was changed".to_owned()),
            Ok(_) => Ok(()),
        };
        let message = format!("{} {what}", by.name);
        self.audit.note(Deed { action, who: by.name.clone(), from, outcome, message }).await;
        result
    }
}

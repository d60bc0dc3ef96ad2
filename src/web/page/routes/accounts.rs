//! Claim, log-in, log-out and the accounts, as pages and forms.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::super::Shared;
use super::super::account::{AccountError, Chosen, Login, Role, Visitor};
use super::super::guard::{Administrator, Seen, Sent, cookie, status_of, token};
use super::super::serve::Peer;
use super::super::view::{self, Form, Here, Notice};
use crate::secret::Secret;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/claim", get(claim_page).post(claim))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .route("/accounts", get(accounts_page))
        .route("/accounts/add", post(add))
        .route("/accounts/remove", post(remove))
        .route("/accounts/password", post(password))
}

/// A word that nobody else should see, from a form or from JSON.
#[derive(Deserialize)]
#[serde(from = "String")]
pub(super) struct Hidden(Secret<String>);

impl From<String> for Hidden {
    fn from(text: String) -> Self {
        Self(Secret::new(text))
    }
}

impl Hidden {
    pub(super) fn secret(self) -> Secret<String> {
        self.0
    }

    /// The same once more: what programs send is not typed twice.
    pub(super) fn twice(self) -> (Secret<String>, Secret<String>) {
        let again = Secret::new(self.0.expose().clone());
        (self.0, again)
    }
}

/// A form that comes back with what was wrong with it.
fn refused(form: Form, error: &AccountError) -> Form {
    match error.field() {
        Some(field) => form.fault(field, error.to_string()),
        None => form.refuse(error.to_string()),
    }
}

/// To the overview, with a session; to the first steps where they are left.
fn welcome(shared: &Shared, login: &Login) -> Response {
    let is_new = login.role == Role::Administrator && shared.start.is_left(&shared.context.kinds.borrow());
    (cookie(Some(&login.token)), Redirect::to(if is_new { "/start" } else { "/" })).into_response()
}

async fn claim_page(State(shared): State<Arc<Shared>>) -> Response {
    if shared.accounts.is_claimed() {
        return Redirect::to("/login").into_response();
    }
    Html(view::claim(&shared.frame(None, Here::Elsewhere), &Form::default())).into_response()
}

#[derive(Deserialize)]
struct ClaimForm {
    code: String,
    name: String,
    password: Hidden,
    again: Hidden,
}

async fn claim(State(shared): State<Arc<Shared>>, Peer(from): Peer, Sent(form): Sent<ClaimForm>) -> Response {
    let chosen = Chosen { name: form.name.clone(), password: form.password.secret(), again: form.again.secret() };
    let result = shared.claimed(from, &form.code, chosen).await;
    match result {
        Ok(login) => welcome(&shared, &login),
        Err(AccountError::Claimed) => Redirect::to("/login").into_response(),
        Err(error) => {
            // The code is kept: it is long, and whoever typed it wrong wants to see where.
            let form = refused(Form::default().keep("name", &form.name).keep("code", &form.code), &error);
            let page = view::claim(&shared.frame(None, Here::Elsewhere), &form);
            (status_of(&error), Html(page)).into_response()
        }
    }
}

async fn login_page(State(shared): State<Arc<Shared>>) -> Response {
    if !shared.accounts.is_claimed() {
        return Redirect::to("/claim").into_response();
    }
    Html(view::login(&shared.frame(None, Here::Elsewhere), &Form::default())).into_response()
}

#[derive(Deserialize)]
struct LoginForm {
    name: String,
    password: Hidden,
}

async fn login(State(shared): State<Arc<Shared>>, Peer(from): Peer, Sent(form): Sent<LoginForm>) -> Response {
    match shared.logged_in(from, &form.name, form.password.secret()).await {
        Ok(login) => welcome(&shared, &login),
        Err(error) => {
            let form = refused(Form::default().keep("name", &form.name), &error);
            let page = view::login(&shared.frame(None, Here::Elsewhere), &form);
            (status_of(&error), Html(page)).into_response()
        }
    }
}

/// A form with nothing but the secret that every form carries.
#[derive(Deserialize)]
struct Nothing {}

async fn logout(State(shared): State<Arc<Shared>>, Peer(from): Peer, headers: HeaderMap, _: Sent<Nothing>) -> Response {
    shared.logged_out(from, token(&headers).unwrap_or_default()).await;
    (cookie(None), Redirect::to("/login")).into_response()
}

/// The page of the accounts, with two forms and what came of the last one.
async fn page_of(
    shared: &Shared,
    visitor: &Visitor,
    status: StatusCode,
    notice: Option<Notice>,
    (add, own): (Form, Form),
) -> Response {
    let mut frame = shared.frame(Some(visitor), Here::Accounts);
    frame.notice = notice;
    let accounts =
        if visitor.role == Role::Administrator { shared.accounts().await } else { view::Accounts::default() };
    (status, Html(view::accounts(&frame, &accounts, &add, &own))).into_response()
}

fn done(text: String) -> Option<Notice> {
    Some(Notice { done: true, text })
}

fn not_done(error: &AccountError) -> Option<Notice> {
    error.field().is_none().then(|| Notice { done: false, text: error.to_string() })
}

async fn accounts_page(State(shared): State<Arc<Shared>>, Seen(visitor): Seen) -> Response {
    page_of(&shared, &visitor, StatusCode::OK, None, (Form::default(), Form::default())).await
}

#[derive(Deserialize)]
struct AddForm {
    name: String,
    role: Role,
    password: Hidden,
    again: Hidden,
}

async fn add(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    Sent(form): Sent<AddForm>,
) -> Response {
    let chosen = Chosen { name: form.name.clone(), password: form.password.secret(), again: form.again.secret() };
    match shared.added(from, &visitor, chosen, form.role).await {
        Ok(()) => {
            let notice = done(format!("The account {} is there.", form.name));
            page_of(&shared, &visitor, StatusCode::OK, notice, (Form::default(), Form::default())).await
        }
        Err(error) => {
            let back = Form::default().keep("name", &form.name).keep("role", form.role.as_str());
            let back = if error.field().is_some() { refused(back, &error) } else { back };
            page_of(&shared, &visitor, status_of(&error), not_done(&error), (back, Form::default())).await
        }
    }
}

#[derive(Deserialize)]
struct RemoveForm {
    name: String,
}

async fn remove(
    State(shared): State<Arc<Shared>>,
    Administrator(visitor): Administrator,
    Peer(from): Peer,
    Sent(form): Sent<RemoveForm>,
) -> Response {
    let (status, notice) = match shared.removed(from, &visitor, &form.name).await {
        Ok(()) => (StatusCode::OK, done(format!("The account {} is gone, and its sessions with it.", form.name))),
        Err(error) => (status_of(&error), Some(Notice { done: false, text: error.to_string() })),
    };
    page_of(&shared, &visitor, status, notice, (Form::default(), Form::default())).await
}

#[derive(Deserialize)]
struct PasswordForm {
    current: Hidden,
    password: Hidden,
    again: Hidden,
}

async fn password(
    State(shared): State<Arc<Shared>>,
    Seen(visitor): Seen,
    Peer(from): Peer,
    Sent(form): Sent<PasswordForm>,
) -> Response {
    let chosen = Chosen { name: visitor.name.clone(), password: form.password.secret(), again: form.again.secret() };
    match shared.password_changed(from, form.current.secret(), chosen).await {
        Ok(login) => {
            // The old secret of forms went with the old session.
            let visitor = shared.accounts.visitor(&login.token, true).unwrap_or(visitor);
            let notice = done("Your password is another one now. Other browsers were logged out.".to_owned());
            let page = page_of(&shared, &visitor, StatusCode::OK, notice, (Form::default(), Form::default())).await;
            (cookie(Some(&login.token)), page).into_response()
        }
        Err(error) => {
            let own = if error.field().is_some() { refused(Form::default(), &error) } else { Form::default() };
            page_of(&shared, &visitor, status_of(&error), not_done(&error), (Form::default(), own)).await
        }
    }
}

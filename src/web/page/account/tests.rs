use super::*;

const GOOD: &str = "correct horse battery staple";

fn limits() -> Limits {
    let (idle, longest) = (Duration::from_secs(900), Duration::from_secs(43_200));
    Limits { idle, longest, ban_after: 10, ban_for: crate::quantity::Span::secs(900) }
}

fn open(folder: &Path) -> Accounts {
    Accounts::open(folder, limits(), Clock::System).unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn chosen(name: &str, password: &str) -> Chosen {
    Chosen { name: name.to_owned(), password: secret(password), again: secret(password) }
}

fn from(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

async fn claimed(folder: &Path) -> Accounts {
    let accounts = open(folder);
    let code = claim::read(folder).unwrap().unwrap();
    accounts.claim(from(1), &code, chosen("ada", GOOD)).await.unwrap();
    accounts
}

#[tokio::test(start_paused = true)]
async fn a_box_is_claimed_once_by_who_knows_the_code() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(folder.path());
    assert!(!accounts.is_claimed());
    let code = claim::read(folder.path()).unwrap().unwrap();
    let wrong = accounts.claim(from(1), "0000-0000-0000", chosen("ada", GOOD)).await;
    assert!(matches!(wrong, Err(AccountError::WrongCode)));
    for (chosen, field) in [
        (chosen("Ada", GOOD), "name"),
        (chosen("ada", "short"), "password"),
        (Chosen { again: secret("another one, please"), ..chosen("ada", GOOD) }, "again"),
    ] {
        let refused = accounts.claim(from(1), &code, chosen).await.unwrap_err();
        assert_eq!(refused.field(), Some(field));
    }
    assert!(!accounts.is_claimed());
    let login = accounts.claim(from(1), &code, chosen("ada", GOOD)).await.unwrap();
    assert_eq!(accounts.visitor(&login.token, true).unwrap().role, Role::Administrator);
    assert_eq!(claim::read(folder.path()).unwrap(), None);
    let again = accounts.claim(from(2), &code, chosen("eve", GOOD)).await;
    assert!(matches!(again, Err(AccountError::Claimed)));
    // And after a restart: the account is there, the sessions are not.
    let accounts = open(folder.path());
    assert!(accounts.is_claimed() && accounts.visitor(&login.token, true).is_none());
    assert_eq!(claim_code(folder.path()).unwrap(), None);
    accounts.log_in(from(1), "ada", secret(GOOD)).await.unwrap();
    let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
    assert!(!text.contains(GOOD) && text.contains("$argon2id$"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn guessing_a_code_or_a_password_is_slowed_then_refused() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = open(folder.path());
    let code = claim::read(folder.path()).unwrap().unwrap();
    let begin = tokio::time::Instant::now();
    for _ in 0..10 {
        assert!(matches!(accounts.claim(from(9), "x", chosen("eve", GOOD)).await, Err(AccountError::WrongCode)));
    }
    assert!(begin.elapsed() >= Duration::from_secs(5), "each wrong one costs more time");
    let locked = accounts.claim(from(9), &code, chosen("eve", GOOD)).await;
    assert!(matches!(locked, Err(AccountError::Locked(_))), "even with the right code");
    accounts.claim(from(1), &code, chosen("ada", GOOD)).await.unwrap();
    // From many addresses at one account: the account is refused, also to its owner, for a while.
    for last in 10..20 {
        let wrong = accounts.log_in(from(last), "ada", secret("wrong wrong wrong")).await;
        assert!(matches!(wrong, Err(AccountError::WrongLogin)));
    }
    assert!(matches!(accounts.log_in(from(1), "ada", secret(GOOD)).await, Err(AccountError::Locked(_))));
    assert!(accounts.list().await[0].locked_until.is_some());
    tokio::time::advance(Duration::from_secs(900)).await;
    accounts.log_in(from(1), "ada", secret(GOOD)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_account_that_is_not_there_is_refused_in_the_same_words_and_locked_alike() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = claimed(folder.path()).await;
    let there = accounts.log_in(from(3), "ada", secret("wrong wrong wrong")).await.unwrap_err().to_string();
    let not_there = accounts.log_in(from(4), "bob", secret("wrong wrong wrong")).await.unwrap_err().to_string();
    assert_eq!(there, not_there);
    for last in 20..30 {
        let _ = accounts.log_in(from(last), "bob", secret("wrong wrong wrong")).await;
    }
    assert!(matches!(accounts.log_in(from(5), "bob", secret(GOOD)).await, Err(AccountError::Locked(_))));
    let long = "x".repeat(100_000);
    assert!(matches!(accounts.log_in(from(6), &long, secret(GOOD)).await, Err(AccountError::WrongLogin)));
    assert!(!accounts.names.refuses(&long));
}

#[tokio::test(start_paused = true)]
async fn accounts_come_and_go_and_their_sessions_with_them_but_one_administrator_stays() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = claimed(folder.path()).await;
    accounts.add(chosen("bob", GOOD), Role::Viewer).await.unwrap();
    assert!(matches!(accounts.add(chosen("bob", GOOD), Role::Viewer).await, Err(AccountError::NameTaken)));
    let bob = accounts.log_in(from(2), "bob", secret(GOOD)).await.unwrap();
    assert_eq!(bob.role, Role::Viewer);
    assert!(matches!(accounts.remove("ada", "ada").await, Err(AccountError::OwnAccount)));
    assert!(matches!(accounts.remove("ada", "bob").await, Err(AccountError::LastAdministrator)));
    assert!(matches!(accounts.remove("eve", "ada").await, Err(AccountError::NoAccount)));
    let new = "another long password";
    let wrong = accounts.change_password(from(2), secret("wrong wrong wrong"), chosen("bob", new)).await;
    assert_eq!(wrong.unwrap_err().field(), Some("current"));
    let bob_2 = accounts.change_password(from(2), secret(GOOD), chosen("bob", new)).await.unwrap();
    assert!(accounts.visitor(&bob.token, true).is_none() && accounts.visitor(&bob_2.token, true).is_some());
    assert!(matches!(accounts.log_in(from(2), "bob", secret(GOOD)).await, Err(AccountError::WrongLogin)));
    accounts.remove("bob", "ada").await.unwrap();
    assert!(accounts.visitor(&bob_2.token, true).is_none());
    for at in 1..store::MOST {
        let account = Account { role: Role::Viewer, hash: String::new(), created: String::new(), last_login: None };
        accounts.book.lock().await.accounts.insert(format!("user{at}"), account);
    }
    assert!(matches!(accounts.add(chosen("bob", GOOD), Role::Viewer).await, Err(AccountError::TooMany)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_is_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = claimed(folder.path()).await;
    std::fs::create_dir(folder.path().join("accounts.new")).unwrap();
    assert!(matches!(accounts.add(chosen("bob", GOOD), Role::Viewer).await, Err(AccountError::Disk(_))));
    assert_eq!(accounts.list().await.len(), 1);
    accounts.log_in(from(1), "ada", secret(GOOD)).await.unwrap();
}

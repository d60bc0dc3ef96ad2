//! Client and server against each other, over a real socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    Answer, Client, ControlError, Face, Handler, Power, Request, Server, Settings, SettingsReply, Stick, Update,
};

struct Counting;

impl Handler for Counting {
    fn status(&self) -> Result<Box<RawValue>, String> {
        Ok(to_raw_value(&serde_json::json!({"version": "1"})).unwrap())
    }

    fn ledger(&self) -> Result<Box<RawValue>, String> {
        Err("the queue is still being opened".to_owned())
    }

    async fn tap(&self, source: Option<String>, _: Option<u32>, to: mpsc::Sender<Answer>) {
        if source.as_deref() == Some("nobody") {
            let _ = to.send(Answer::Refused("there is no source \"nobody\"".to_owned())).await;
            return;
        }
        for at in 0u64.. {
            if to.send(Answer::Event(to_raw_value(&at).unwrap())).await.is_err() {
                return;
            }
        }
    }

    fn log(&self) -> String {
        "a line".to_owned()
    }

    async fn settings(&self, wish: Settings) -> Answer {
        assert_eq!(wish, Settings::Show);
        Answer::Settings(Box::new(SettingsReply::Done))
    }

    async fn face(&self) -> Answer {
        Answer::Face(Box::new(Face { page: vec!["[::]:443".parse().unwrap()], ..Face::default() }))
    }

    async fn power(&self, wish: Power) -> Answer {
        assert_eq!(wish, Power::RestartProgram { by: "ada".to_owned() });
        Answer::Done
    }

    async fn restart_source(&self, source: String, by: String) -> Answer {
        Answer::Refused(format!("{by} wants {source}"))
    }

    async fn stick(&self, _: Stick, to: mpsc::Sender<Answer>) {
        let _ = to.send(Answer::Done).await;
    }

    async fn update(&self, wish: Update, to: mpsc::Sender<Answer>) {
        assert_eq!(wish, Update::Check);
        later(to);
    }
}

/// The answers go on after the handler has returned.
#[expect(clippy::disallowed_methods, reason = "it ends with its channel")]
fn later(to: mpsc::Sender<Answer>) {
    tokio::spawn(async move {
        for step in ["one", "two"] {
            tokio::task::yield_now().await;
            let _ = to.send(Answer::Progress(step.to_owned())).await;
        }
        let _ = to.send(Answer::Update(to_raw_value(&true).unwrap())).await;
    });
}

struct Running {
    _folder: tempfile::TempDir,
    path: PathBuf,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

#[expect(clippy::disallowed_methods, reason = "the test is the parent and awaits it")]
async fn start() -> Running {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let server = Server::bind(&path).await.unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(server.serve(Arc::new(Counting), stop.clone()));
    Running { _folder: folder, path, stop, task }
}

async fn status(path: &std::path::Path) -> Result<Option<Answer>, ControlError> {
    Client::ask(path, &Request::Status).await?.next().await
}

#[tokio::test]
async fn status_is_answered_and_the_socket_goes_with_the_program() {
    let running = start().await;
    let Some(Answer::Status(snapshot)) = status(&running.path).await.unwrap() else { panic!() };
    assert_eq!(snapshot.get(), r#"{"version":"1"}"#);
    running.stop.cancel();
    running.task.await.unwrap();
    assert!(!running.path.exists());
    let error = status(&running.path).await.unwrap_err();
    assert!(error.to_string().contains("no sapphire-edge answers"), "{error}");
}

#[tokio::test]
async fn the_screen_is_told_what_it_shows_and_what_it_wants_is_done() {
    let running = start().await;
    let ask = async |request| Client::ask(&running.path, &request).await?.next().await;
    let Some(Answer::Face(face)) = ask(Request::Face).await.unwrap() else { panic!() };
    assert_eq!((face.page.len(), face.claim_code.clone()), (1, None));
    let wish = Power::RestartProgram { by: "ada".to_owned() };
    assert!(matches!(ask(Request::Power(wish)).await.unwrap(), Some(Answer::Done)));
    running.stop.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn a_tap_streams_until_the_client_goes() {
    let running = start().await;
    let mut tap = Client::ask(&running.path, &Request::Tap { source: None, last_minutes: None }).await.unwrap();
    for expected in 0..1_000 {
        let Some(Answer::Event(event)) = tap.next().await.unwrap() else { panic!() };
        assert_eq!(event.get(), expected.to_string());
    }
    drop(tap);
    let nobody = Request::Tap { source: Some("nobody".into()), last_minutes: None };
    let mut refused = Client::ask(&running.path, &nobody).await.unwrap();
    assert!(matches!(refused.next().await.unwrap(), Some(Answer::Refused(_))));
    assert!(refused.next().await.unwrap().is_none());
    running.stop.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn clients_that_only_hold_their_place_delay_others_but_not_for_ever() {
    let running = start().await;
    // One more than there are places, all silent: the last waits until the first are cut for saying nothing.
    tokio::time::pause();
    let silent: Vec<UnixStream> = (0..16).map(|_| UnixStream::connect(&running.path).unwrap()).collect();
    assert!(matches!(status(&running.path).await.unwrap(), Some(Answer::Status(_))));
    for mut stream in silent {
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "a silent client is cut");
    }
    running.stop.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn garbage_is_refused_in_words_and_endless_lines_are_cut() {
    let running = start().await;
    let ask = |bytes: Vec<u8>| {
        let path = running.path.clone();
        tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            let _ = stream.write_all(&bytes);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        })
    };
    let refused = ask(b"{\"reboot\":null}\n".to_vec()).await.unwrap();
    assert!(refused.starts_with("{\"refused\":\"this is no request: unknown variant"), "{refused}");
    assert_eq!(ask(vec![b'x'; 1 << 16]).await.unwrap(), "");
    assert!(matches!(status(&running.path).await.unwrap(), Some(Answer::Status(_))));
    running.stop.cancel();
    running.task.await.unwrap();
}

#[tokio::test]
async fn answers_go_on_after_the_handler_has_returned() {
    let running = start().await;
    let mut client = Client::ask(&running.path, &Request::Update(Update::Check)).await.unwrap();
    let mut steps = Vec::new();
    loop {
        match client.next().await.unwrap() {
            Some(Answer::Progress(step)) => steps.push(step),
            Some(Answer::Update(done)) => break assert_eq!(done.get(), "true"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(steps, ["one", "two"]);
    assert!(client.next().await.unwrap().is_none());
    running.stop.cancel();
    running.task.await.unwrap();
}

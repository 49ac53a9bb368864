//! A registration as the kubelet meets it. The kubelet itself judges it in `tests/kubelet`.

use super::*;
use crate::endpoint::Endpoint;
use crate::protocol::registration::registration_client::RegistrationClient;
use std::fs;
use tempfile::TempDir;
use tonic::transport::Channel;

struct Kept {
    directory: TempDir,
    registration: Registration,
    status: Arc<Status>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

const DRIVER: &str = "image.becket.dev";

impl Kept {
    /// Starts to keep a registration; `before` sees the directory first.
    fn start(before: impl FnOnce(&Registration)) -> Kept {
        let directory = tempfile::tempdir().unwrap();
        let registration = Registration {
            driver: DRIVER.to_owned(),
            endpoint: "/plugins/image.becket.dev/csi.sock".into(),
            directory: directory.path().join("plugins_registry"),
        };
        fs::create_dir(&registration.directory).unwrap();
        before(&registration);
        let status = Arc::<Status>::default();
        let (stop, shutdown) = watch::channel(false);
        let task = tokio::spawn(keep(registration.clone(), shutdown, Arc::clone(&status)));
        Kept { directory, registration, status, stop, task }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Kept) -> bool) {
        for _ in 0..400 {
            if holds(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("not within 8 s: {what}; {:?}", self.status.progress());
    }

    async fn offered(&self) {
        self.until("the socket is offered", |kept| {
            kept.registration.socket().exists() && kept.status.progress() == Progress::Offered
        })
        .await;
    }

    async fn kubelet(&self) -> RegistrationClient<Channel> {
        let endpoint = Endpoint::Unix(self.registration.socket());
        RegistrationClient::new(endpoint.connect(Duration::from_secs(5)).await.unwrap())
    }

    async fn tell(&self, plugin_registered: bool, error: &str) {
        let outcome = RegistrationStatus { plugin_registered, error: error.to_owned() };
        self.kubelet().await.notify_registration_status(outcome).await.unwrap();
    }

    /// Ends it, which takes no longer than connections may.
    async fn end(self) -> TempDir {
        self.stop.send(true).unwrap();
        tokio::time::timeout(DRAIN + Duration::from_secs(5), self.task).await.unwrap().unwrap();
        assert_eq!(self.status.progress(), Progress::Preparing);
        self.directory
    }
}

fn within(test: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test());
}

#[test]
fn the_kubelet_learns_all_of_the_driver_and_its_word_is_kept() {
    within(async || {
        let kept = Kept::start(|_| ());
        kept.offered().await;
        let info = kept.kubelet().await.get_info(InfoRequest {}).await.unwrap().into_inner();
        assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", DRIVER));
        assert_eq!(info.endpoint, "/plugins/image.becket.dev/csi.sock");
        assert_eq!(info.supported_versions, ["1.0.0"]);
        assert!(!kept.status.registered());

        kept.tell(false, "no\nroom").await;
        assert_eq!(kept.status.progress(), Progress::Refused("no\\nroom".to_owned()));
        assert!(!kept.status.registered());
        kept.tell(true, "").await;
        assert!(kept.status.registered());

        let (socket, _idle) = (kept.registration.socket(), kept.kubelet().await);
        let directory = kept.end().await;
        assert!(!socket.exists(), "the socket outlived its process");
        drop(directory);
    });
}

#[test]
fn a_directory_that_is_not_there_is_waited_for() {
    within(async || {
        let kept = Kept::start(|registration| fs::remove_dir(&registration.directory).unwrap());
        kept.until("it says what it waits for", |kept| {
            matches!(kept.status.progress(), Progress::Hindered(why) if why.contains("plugins_registry"))
        })
        .await;
        assert!(!kept.registration.directory.exists(), "it was made by the wrong one");
        fs::create_dir(&kept.registration.directory).unwrap();
        kept.offered().await;
        kept.end().await;
    });
}

#[test]
fn a_socket_that_vanishes_is_made_again_and_registered_anew() {
    within(async || {
        let kept = Kept::start(|_| ());
        kept.offered().await;
        for wipe_all in [false, true] {
            kept.tell(true, "").await;
            match wipe_all {
                false => fs::remove_file(kept.registration.socket()).unwrap(),
                true => {
                    fs::remove_dir_all(&kept.registration.directory).unwrap();
                    kept.until("it waits", |kept| !kept.status.registered()).await;
                    fs::create_dir(&kept.registration.directory).unwrap();
                }
            }
            kept.offered().await;
            kept.kubelet().await.get_info(InfoRequest {}).await.unwrap();
        }
        kept.end().await;
    });
}

#[test]
fn a_stale_socket_is_replaced_at_once() {
    within(async || {
        let kept = Kept::start(|registration| {
            drop(std::os::unix::net::UnixListener::bind(registration.socket()).unwrap());
        });
        kept.offered().await;
        kept.kubelet().await.get_info(InfoRequest {}).await.unwrap();
        kept.end().await;
    });
}

#[test]
fn a_socket_of_another_process_is_left_alone_until_it_goes() {
    within(async || {
        let other = std::cell::RefCell::new(None);
        let kept = Kept::start(|registration| {
            let listener = std::os::unix::net::UnixListener::bind(registration.socket()).unwrap();
            other.replace(Some(listener));
        });
        let theirs = sockets::identity(&kept.registration.socket()).unwrap();
        kept.until("it says who hinders it", |kept| {
            matches!(kept.status.progress(), Progress::Hindered(why) if why.contains("another process"))
        })
        .await;
        tokio::time::sleep(INTERVAL + Duration::from_millis(500)).await;
        assert_eq!(sockets::identity(&kept.registration.socket()).unwrap(), theirs);
        other.replace(None);
        kept.offered().await;
        // And one that another process puts in place of ours is not removed at the end.
        let socket = kept.registration.socket();
        fs::remove_file(&socket).unwrap();
        let _theirs = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let directory = kept.end().await;
        assert!(socket.exists(), "somebody else's socket was removed");
        drop(directory);
    });
}

#[test]
fn it_ends_also_when_nobody_is_left_who_could_say_so_and_while_it_waits() {
    within(async || {
        for missing in [false, true] {
            let kept = Kept::start(|registration| {
                if missing {
                    fs::remove_dir(&registration.directory).unwrap();
                }
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(kept.stop);
            tokio::time::timeout(Duration::from_secs(5), kept.task).await.unwrap().unwrap();
            assert!(!kept.registration.socket().exists());
        }
    });
}

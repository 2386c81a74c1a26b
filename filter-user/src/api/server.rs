//! The socket, and who is served over it within which bounds.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
        net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use axum::{Router, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};
use tower::ServiceExt;

use crate::{
    api::{
        patience::Patient,
        peer::{self, Credentials, Groups, Role},
        routes::{self, Api},
    },
    config::{Access, Config},
    daemon::handle::Handle,
};

/// How much anybody gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once; further ones wait in the kernel's queue.
    pub connections: usize,
    /// How many of them may be of peers who only look; further ones are turned away, so that who may
    /// change something is never kept waiting by those who may not.
    pub lookers: usize,
    /// How long the head of a request may take, and a connection may lie idle.
    pub header: Duration,
    /// How long nothing of a body may come.
    pub body: Duration,
    /// How long a body may take in all, unless it is an import by one who may import.
    pub whole: Duration,
    /// How long a peer may not read what it asked for.
    pub write: Duration,
    /// Bytes of a JSON body.
    pub json: usize,
    /// Bytes that are read of a body from one who may not send it.
    pub unwelcome: usize,
    /// Bytes of an import.
    pub import: usize,
    /// Imports at once.
    pub imports: usize,
    /// Streams of events at once.
    pub followers: usize,
    /// How many of them may be of peers who only look.
    pub looking_followers: usize,
    /// How long answers under way may take when the daemon stops.
    pub goodbye: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 64,
            lookers: 48,
            header: Duration::from_secs(10),
            body: Duration::from_secs(60),
            whole: Duration::from_secs(30),
            write: Duration::from_secs(30),
            json: 64 << 10,
            unwelcome: 1 << 20,
            import: 256 << 20,
            imports: 2,
            followers: 16,
            looking_followers: 12,
            goodbye: Duration::from_secs(2),
        }
    }
}

/// Who is at the other end, as the routes see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// User id.
    pub uid: u32,
    /// What the user may do.
    pub role: Role,
}

/// Tells who is at the other end of a socket.
pub type Identify = Arc<dyn Fn(&UnixStream) -> io::Result<Credentials> + Send + Sync>;

/// A socket that nobody is served over yet. Dropping it removes the file.
#[derive(Debug)]
pub struct Socket {
    listener: StdListener,
    path: PathBuf,
    /// Device and inode, so that nobody else's socket is removed.
    file: (u64, u64),
    groups: Groups,
}

impl Socket {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|file| (file.dev(), file.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the control socket stays behind");
        }
    }
}

/// Makes the control socket, open to the group that may read.
///
/// A socket that a dead daemon left is replaced; one that somebody serves is not.
pub fn bind(path: &Path, access: &Access) -> anyhow::Result<Socket> {
    let groups = Groups::look_up(access).context("cannot look the groups of [access] up")?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        make_open(folder).with_context(|| {
            format!(
                "cannot make {}, the folder of the control socket",
                folder.display()
            )
        })?;
    }
    refuse_if_served(path)?;
    // Made beside its place and then moved there: it is never seen with other permissions, and
    // never missing.
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let result = bind_at(&beside, &groups).and_then(|(listener, file)| {
        fs::rename(&beside, path)?;
        Ok((listener, file))
    });
    let (listener, file) = result.map_err(|error| {
        // What was not made cannot be removed.
        let _ = fs::remove_file(&beside);
        anyhow::Error::new(error).context(format!(
            "cannot make the control socket {}; `paths.socket` of the configuration names it",
            path.display()
        ))
    })?;
    Ok(Socket {
        listener,
        path: path.to_owned(),
        file,
        groups,
    })
}

/// Makes a folder, and those above it that are missing, so that others may pass through, whatever this
/// process' files are for others. What is there already stays as it is.
fn make_open(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make_open(above)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, fs::Permissions::from_mode(0o755)),
        // Somebody else made it just now.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

fn refuse_if_served(path: &Path) -> anyhow::Result<()> {
    let Ok(file) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !file.file_type().is_socket() {
        anyhow::bail!(
            "{} is there already and is no socket; remove it, or name another place with \
             `paths.socket` in the configuration",
            path.display()
        );
    }
    match StdStream::connect(path) {
        Ok(_) => anyhow::bail!(
            "{} is in use by a running floodwall; stop that one first, or name another socket with \
             `paths.socket` in the configuration",
            path.display()
        ),
        // Nobody listens, or it went just now.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot tell whether another floodwall serves {}",
                path.display()
            )
        }),
    }
}

fn bind_at(path: &Path, groups: &Groups) -> io::Result<(StdListener, (u64, u64))> {
    let _ = fs::remove_file(path);
    let listener = StdListener::bind(path)?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    if let Some(group) = groups.read.or(groups.change)
        && let Err(error) = chown(path, None, Some(group))
    {
        tracing::warn!(group, %error, "only root reaches the control socket");
    }
    let file = fs::symlink_metadata(path)?;
    Ok((listener, (file.dev(), file.ino())))
}

/// Serves until `shutdown`, then removes the socket.
pub async fn serve(
    socket: Socket,
    config: &Config,
    handle: Handle,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let identify: Identify = Arc::new(peer::credentials::<UnixStream>);
    serve_within(
        socket,
        config,
        handle,
        shutdown,
        Bounds::default(),
        identify,
    )
    .await
}

/// [`serve`] within other bounds, and to peers identified in another way.
pub async fn serve_within(
    socket: Socket,
    config: &Config,
    handle: Handle,
    shutdown: impl Future<Output = ()>,
    bounds: Bounds,
    identify: Identify,
) -> anyhow::Result<()> {
    let listener = UnixListener::from_std(socket.listener.try_clone()?)
        .context("cannot listen on the control socket")?;
    let router = routes::router(Api::new(config, handle, bounds));
    let room = Arc::new(Semaphore::new(bounds.connections));
    let seats = Arc::new(Semaphore::new(bounds.lookers));
    let door = Arc::new(Semaphore::new(bounds.connections));
    let full = routes::full(bounds.lookers);
    let (stop, stopped) = watch::channel(());
    let accept = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection on the control socket");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            match identify(&stream) {
                Ok(credentials) => {
                    let peer = Peer {
                        uid: credentials.uid,
                        role: socket.groups.role(&credentials),
                    };
                    let mut held = vec![place];
                    let is_served = match peer.role {
                        Role::Change => true,
                        Role::Nobody | Role::Read => {
                            let seat = Arc::clone(&seats).try_acquire_owned();
                            let is_served = seat.is_ok();
                            if let Ok(seat) = seat {
                                held.push(seat);
                            } else if let Ok(step) = Arc::clone(&door).try_acquire_owned() {
                                held = vec![step];
                            } else {
                                continue;
                            }
                            is_served
                        }
                    };
                    let router = if is_served { &router } else { &full };
                    let places = Places {
                        is_served,
                        _held: held,
                    };
                    let router = router.clone();
                    tokio::spawn(talk(stream, peer, router, bounds, stopped.clone(), places));
                }
                Err(error) => tracing::warn!(%error, "a peer without credentials is not served"),
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = shutdown => {}
    }
    drop(listener);
    drop(stop);
    // Everyone who is gone has given the place back.
    let places = u32::try_from(bounds.connections).unwrap_or(u32::MAX);
    let _ = timeout(bounds.goodbye, room.acquire_many(places)).await;
    drop(socket);
    Ok(())
}

/// What a connection holds, and gives back when it ends.
struct Places {
    /// Beyond those who are served, as many are told that there is no room; who comes then is hung up on.
    is_served: bool,
    _held: Vec<OwnedSemaphorePermit>,
}

/// One connection, from its first byte to its last.
async fn talk(
    stream: UnixStream,
    peer: Peer,
    router: Router,
    bounds: Bounds,
    mut stopped: watch::Receiver<()>,
    places: Places,
) {
    let header = if places.is_served {
        bounds.header
    } else {
        bounds.header.min(Duration::from_secs(1))
    };
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(places.is_served)
        .header_read_timeout(header)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(Patient::new(stream, bounds.write)), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        // Ends when its sender is dropped.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            match timeout(bounds.goodbye, connection).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(uid = peer.uid, %error, "a connection ended early");
    }
}

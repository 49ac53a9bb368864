//! Callouts, turned into what the engine does.

mod request;
mod share;

use crate::callout::Callout;
use crate::driver::{Driver, Settings};
use crate::options::Options;
use crate::reply::Reply;
use becket_core::record::VolumeRecord;
use becket_core::target::Target;
use becket_core::{Engine, Error, Kind, Name, Result, preflight};
use request::Request;
use rustix::fs::FileType;
use std::path::{Path, PathBuf};

/// Does what the callout asks and gives the answer. Errors become replies; none is lost.
pub fn serve(engine: &Engine, driver: Driver, settings: &Settings, callout: &Callout) -> Reply {
    let serving = Serving { engine, driver, settings };
    serving.reply(callout).unwrap_or_else(Reply::from)
}

struct Serving<'a> {
    engine: &'a Engine,
    driver: Driver,
    settings: &'a Settings,
}

impl Serving<'_> {
    fn reply(&self, callout: &Callout) -> Result<Reply> {
        let attachable = self.settings.attachable && self.driver.can_attach();
        match callout {
            Callout::Init => self.init(),
            Callout::Mount(directory, options) if attachable => {
                self.mount_staged(directory, options)
            }
            Callout::Mount(directory, options) => self.mount(directory, options),
            Callout::Unmount(directory) => self.unmount(directory),
            Callout::ExpandVolume(options, directory, bytes) => {
                self.expand(options, directory, *bytes, Engine::expand_storage)
            }
            Callout::ExpandFs(options, _, directory, bytes) => {
                self.expand(options, directory, *bytes, Engine::expand)
            }
            // The kubelet throws the name away and uses its own; only a failure would matter.
            Callout::GetVolumeName(_) | Callout::Unknown(_) => Ok(Reply::not_supported()),
            // From here on: the attach and device callouts, for drivers installed with them.
            _ if !attachable => Ok(Reply::not_supported()),
            Callout::Attach(options, _) => self.attach(options),
            Callout::IsAttached(options, _) => {
                self.request(options)?;
                Ok(Reply { attached: Some(true), ..Reply::success() })
            }
            Callout::WaitForAttach(_, options) => self.wait_for_attach(options),
            Callout::MountDevice(directory, _, options) => self.mount_device(directory, options),
            Callout::UnmountDevice(directory) => self.unmount(directory),
            // Nothing was attached: the volume is where its pool is.
            Callout::Detach(..) => Ok(Reply::success()),
        }
    }

    /// Runs at every probe, under a lock of the kubelet's that all volumes of the node share.
    fn init(&self) -> Result<Reply> {
        preflight::kernel()?;
        let capabilities = Some(self.driver.capabilities(self.settings));
        Ok(Reply { capabilities, ..Reply::success() })
    }

    fn request(&self, options: &Options) -> Result<Request> {
        Request::read(self.driver, options)
    }

    /// A path from the kubelet, refused unless it is one of its own.
    fn target(&self, path: &Path) -> Result<Target> {
        // PATH_MAX, which counts a NUL at the end; also so that no message holds more than that.
        const LONGEST: usize = 4095;
        let length = path.as_os_str().len();
        if length > LONGEST {
            return Err(Error::new(
                Kind::Invalid,
                format!("a path of {length} bytes is refused: {LONGEST} is the most"),
            ));
        }
        let root = &self.settings.kubelet_root;
        // Where the root is a link, the kubelet names its paths through the link, and the kernel
        // shows mounts by their real ones.
        let real = root.canonicalize().unwrap_or_else(|_| root.clone());
        let below =
            path.strip_prefix(root).map_or_else(|_| path.to_owned(), |below| real.join(below));
        Target::beneath(&real, &below).map_err(|error| match below.starts_with(&real) {
            true => error,
            false => error.hint(format!(
                "the kubelet's root is taken to be `{}`; install with --kubelet-root to change that",
                root.display()
            )),
        })
    }

    /// A directory to mount at, which the kubelet has made or may leave to us. What is wrong with it
    /// is found before a volume is made or staged for it.
    fn directory(&self, path: &Path) -> Result<Target> {
        let target = self.target(path)?;
        match target.look()? {
            Some(point) if point.kind != FileType::Directory => Err(Error::new(
                Kind::Invalid,
                format!("path `{}` is refused: it is no directory", path.display()),
            )),
            _ => Ok(target),
        }
    }

    /// Mount-only: stage in the state directory and publish, in one.
    fn mount(&self, directory: &Path, options: &Options) -> Result<Reply> {
        let target = self.directory(directory)?;
        if let Some((share, publication)) = share::read(self.driver, options)? {
            self.engine.mount_static(self.driver.name(), &share, &target, &publication)?;
            return Ok(Reply::success());
        }
        let request = self.request(options)?;
        let record = request.existing(self.engine)?;
        let publication = request.publication(options, record.as_ref())?;
        let make = request.new_volume()?;
        if record.is_none() && make.is_none() {
            return Err(request.missing());
        }
        if record.is_none() && target.look()?.is_some_and(|point| point.mounted) {
            // No volume is made for a place that cannot take it.
            return Err(Error::new(
                Kind::WrongState,
                format!("something else is mounted at `{}`", target.path().display()),
            ));
        }
        self.engine.mount(&request.pool, &request.name, make.as_ref(), &target, &publication)?;
        Ok(Reply::success())
    }

    /// Attachable: publish from where `mountdevice` mounted.
    fn mount_staged(&self, directory: &Path, options: &Options) -> Result<Reply> {
        let target = self.directory(directory)?;
        let request = self.request(options)?;
        let staging = self.target(&self.device_directory(options)?)?;
        let record = request.existing(self.engine)?.ok_or_else(|| request.missing())?;
        let publication = request.publication(options, Some(&record))?;
        self.engine.publish(&request.pool, &request.name, &staging, &target, &publication)?;
        Ok(Reply::success())
    }

    /// `<root>/plugins/kubernetes.io/flexvolume/<vendor>/<driver>/mounts/<volume>`.
    fn device_directory(&self, options: &Options) -> Result<PathBuf> {
        let volume = options.kubernetes("pvOrVolumeName").ok_or_else(|| {
            Error::new(Kind::Invalid, "option `kubernetes.io/pvOrVolumeName` is missing")
        })?;
        let below = format!(
            "plugins/kubernetes.io/flexvolume/{}/{}/mounts",
            self.settings.vendor,
            self.driver.name()
        );
        Ok(self.settings.kubelet_root.join(below).join(volume))
    }

    fn unmount(&self, directory: &Path) -> Result<Reply> {
        self.engine.unmount(&self.target(directory)?)?;
        Ok(Reply::success())
    }

    /// Runs where the controller does, which need not be where the pool is: so it checks what can
    /// be checked anywhere and changes nothing. There is no device yet either.
    fn attach(&self, options: &Options) -> Result<Reply> {
        let request = self.request(options)?;
        request.refuse_encrypted(None)?;
        request.new_volume()?;
        Ok(Reply { device: Some(String::new()), ..Reply::success() })
    }

    /// On the node: the volume exists from here on. The device is the image file or the logical volume by
    /// its name, an identity that survives a reboot; a loop device would be another one tomorrow, and
    /// would leak if nothing were called after this.
    fn wait_for_attach(&self, options: &Options) -> Result<Reply> {
        let request = self.request(options)?;
        let record = request.existing(self.engine)?;
        request.refuse_encrypted(record.as_ref())?;
        if record.is_none() {
            let new = request.new_volume()?.ok_or_else(|| request.missing())?;
            self.engine.create(&request.pool, &new)?;
        }
        let device = self.engine.lasting_path(&request.pool, &request.name)?;
        Ok(Reply { device: device.map(|path| path.display().to_string()), ..Reply::success() })
    }

    fn mount_device(&self, directory: &Path, options: &Options) -> Result<Reply> {
        let staging = self.directory(directory)?;
        let request = self.request(options)?;
        request.existing(self.engine)?.ok_or_else(|| request.missing())?;
        self.engine.stage(&request.pool, &request.name, &staging)?;
        Ok(Reply::success())
    }

    /// No released Kubernetes calls `expandvolume`, so `expandfs` grows the storage too.
    fn expand(
        &self,
        options: &Options,
        directory: &Path,
        bytes: u64,
        expand: impl FnOnce(&Engine, &Name, &Name, u64) -> Result<VolumeRecord>,
    ) -> Result<Reply> {
        self.target(directory)?;
        let request = self.request(options)?;
        let record = expand(self.engine, &request.pool, &request.name, bytes)?;
        Ok(Reply { volume_new_size: Some(record.size), ..Reply::success() })
    }
}

//! The layers that this build has. A layer's other values are known by name alone.

/// Declares the values of one layer: how each is written, and the names that aren't built yet.
macro_rules! layer {
    (
        $(#[$doc:meta])* $layer:ident $key:literal [$($missing:literal),*]
        $($(#[$value_doc:meta])* $value:ident $text:literal,)*
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $layer { $($(#[$value_doc])* $value,)* }

        impl Layer for $layer {
            const KEY: &'static str = $key;
            const VALUES: &'static [(&'static str, Self)] = &[$(($text, Self::$value),)*];
            const MISSING: &'static [&'static str] = &[$($missing),*];

            fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)* }
            }
        }
    };
}

/// A setting with a fixed set of values.
pub trait Layer: Copy + 'static {
    /// The setting.
    const KEY: &'static str;
    /// Each value, and how it is written.
    const VALUES: &'static [(&'static str, Self)];
    /// Values that the product knows and this build doesn't have.
    const MISSING: &'static [&'static str];

    /// How it is written.
    fn as_str(self) -> &'static str;
}

layer! {
    /// Who knows which node owns an upload.
    Coordination "coordination" []
    /// This node owns all of its uploads, and keeps what it knows of them in its data directory.
    Local "local",
    /// What a node knows of its uploads is kept in Redis, and who runs as it is told by a lease.
    Redis "redis",
}

layer! {
    /// Where a chunk's bytes are safe before the object has them.
    Spool "spool" []
    /// In memory: lost with the process.
    Memory "memory",
    /// In files below the data directory.
    Disk "disk",
    /// In Redis.
    Redis "redis",
}

layer! {
    /// Where objects land.
    Objects "objects" []
    /// Nowhere: bytes are checked and dropped. For measuring the intake.
    Discard "discard",
    /// In files below the data directory.
    Fs "fs",
    /// In an S3 store.
    S3 "s3",
}

layer! {
    /// Where events go.
    Events "events" ["kafka"]
    /// Nowhere.
    Off "off",
}

layer! {
    /// Where drives, nodes and claims live.
    Metadata "metadata" ["mysql"]
    /// In SQLite, in the data directory.
    Local "local",
}

layer! {
    /// What a spooled ack survives.
    Durability "durability" []
    /// The end of the process.
    Process "process",
    /// A power cut, too.
    Power "power",
}

/// The layers of one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    /// Who knows which node owns an upload.
    pub coordination: Coordination,
    /// Where a chunk's bytes are safe first.
    pub spool: Spool,
    /// Where objects land.
    pub objects: Objects,
    /// Where events go.
    pub events: Events,
    /// Where drives, nodes and claims live.
    pub metadata: Metadata,
    /// What a spooled ack survives.
    pub durability: Durability,
}

impl Layers {
    /// Whether what is known of uploads is kept in Redis.
    pub fn is_coordinated(&self) -> bool {
        self.coordination == Coordination::Redis
    }

    /// Whether an ack can survive the process: the default level where it can.
    pub fn gives_spooled_acks(&self) -> bool {
        match self.spool {
            Spool::Memory => false,
            Spool::Disk => true,
            // What is dropped in the end survives nothing.
            Spool::Redis => self.objects != Objects::Discard,
        }
    }

    /// Whether any layer uses Redis.
    pub fn use_redis(&self) -> bool {
        self.is_coordinated() || self.spool == Spool::Redis
    }
}

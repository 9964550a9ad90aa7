//! The streams of one connection, and the sums over them: kept with every change, since they are
//! asked for far more often than there are streams.

use std::collections::{BTreeMap, BTreeSet};

use super::{FLOOR_BYTES, stream::Stream};

/// Sums over the streams; bytes, if nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Charges beyond the floor.
    pub(super) commit: u64,
    /// Held, and not paid by the reserve.
    pub(super) held: u64,
    /// Held by the floor.
    pub(super) plain: u64,
    /// What the granted streams' windows may take of the connection's.
    pub(super) cover: u64,
    /// What must come and may come.
    pub(super) coming: u64,
    /// Streams: granted, unfinished, and paid by the connection.
    pub(super) granted: u64,
    /// Streams: granted, unfinished, and paid by the reserve.
    pub(super) trickling: u64,
    /// Streams that can't go on before they are given more.
    pub(super) stuck: u64,
}

impl Totals {
    fn of(stream: &Stream) -> Self {
        Self {
            commit: stream.commit(),
            held: stream.held.granted + stream.held.plain,
            plain: stream.held.plain,
            cover: stream.cover(),
            coming: stream.coming(),
            granted: stream.wants_connection().into(),
            trickling: stream.trickles().into(),
            stuck: stream.is_stuck().into(),
        }
    }

    /// With `was` replaced by `is`, of which both are part.
    fn replace(&mut self, was: &Self, is: &Self) {
        self.commit = self.commit + is.commit - was.commit;
        self.held = self.held + is.held - was.held;
        self.plain = self.plain + is.plain - was.plain;
        self.cover = self.cover + is.cover - was.cover;
        self.coming = self.coming + is.coming - was.coming;
        self.granted = self.granted + is.granted - was.granted;
        self.trickling = self.trickling + is.trickling - was.trickling;
        self.stuck = self.stuck + is.stuck - was.stuck;
    }
}

/// All of a connection's streams that are known.
#[derive(Debug)]
pub(super) struct Streams {
    /// No stream's window is to stand higher.
    ceiling_bytes: u64,
    known: BTreeMap<u32, Stream>,
    /// Those whose window is below where it might stand.
    short: BTreeSet<u32>,
    totals: Totals,
}

impl Streams {
    pub(super) fn new(ceiling_bytes: u64) -> Self {
        let (known, short) = Default::default();
        let ceiling_bytes = ceiling_bytes.max(FLOOR_BYTES);
        Self { ceiling_bytes, known, short, totals: Totals::default() }
    }

    pub(super) fn open(&mut self, id: u32) {
        if !self.known.contains_key(&id) {
            self.set(id, Stream::new());
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<Stream> {
        self.known.get(&id).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Stream)> {
        self.known.iter().map(|(&id, stream)| (id, stream))
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The first stream from `id` on whose window is below where it might stand.
    pub(super) fn next_short(&self, id: u32) -> Option<u32> {
        self.short.range(id..).next().copied()
    }

    /// Changes a stream, if it is known.
    pub(super) fn change<T>(
        &mut self,
        id: u32,
        change: impl FnOnce(&mut Stream) -> T,
    ) -> Option<T> {
        let stream = self.known.get_mut(&id)?;
        let was = Totals::of(stream);
        let result = change(stream);
        let is_short = stream.window_target(self.ceiling_bytes) > stream.window;
        self.totals.replace(&was, &Totals::of(stream));
        self.mark(id, is_short);
        Some(result)
    }

    /// Puts a stream in place of what is known of it.
    pub(super) fn set(&mut self, id: u32, stream: Stream) {
        let was = self.known.insert(id, stream).as_ref().map_or_else(Totals::default, Totals::of);
        self.totals.replace(&was, &Totals::of(&stream));
        self.mark(id, stream.window_target(self.ceiling_bytes) > stream.window);
    }

    pub(super) fn forget(&mut self, id: u32) {
        if let Some(stream) = self.known.remove(&id) {
            self.totals.replace(&Totals::of(&stream), &Totals::default());
            self.short.remove(&id);
        }
    }

    /// The kept sums are those of the streams, and the short ones those that could be given more.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut totals = Totals::default();
        self.known.values().for_each(|s| totals.replace(&Totals::default(), &Totals::of(s)));
        assert_eq!(self.totals, totals);
        let short = |s: &Stream| s.window_target(self.ceiling_bytes) > s.window;
        let short = self.known.iter().filter(|(_, s)| short(s)).map(|(&id, _)| id);
        assert!(self.short.iter().copied().eq(short));
        // No smaller cap opens the window of one that isn't.
        for (id, stream) in self.known.iter().filter(|(id, _)| !self.short.contains(id)) {
            let caps = (FLOOR_BYTES..=self.ceiling_bytes).step_by(FLOOR_BYTES as usize / 3);
            for cap in caps {
                let given = stream.clone().give_up_to(cap, &mut u64::MAX.div_euclid(4));
                assert_eq!(given, 0, "stream {id}");
            }
        }
    }

    fn mark(&mut self, id: u32, is_short: bool) {
        if is_short {
            self.short.insert(id);
        } else if !self.short.is_empty() {
            self.short.remove(&id);
        }
    }
}

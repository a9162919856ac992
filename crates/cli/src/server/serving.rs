//! What is served and how: the part of a server that a reload replaces.

use std::sync::Arc;

use afpa_cache::{Cache, CacheConfig};
use afpa_http::Settings;
use afpa_http::files::{CacheRule, Selector, Site, SiteOptions, Watch};
use afpa_http::syntax::Limits;

use crate::config::{self, Config};

/// The settings that the engines share, and the thread that keeps their cache honest.
pub(super) struct Serving {
    settings: Arc<Settings>,
    _watch: Watch,
}

impl Serving {
    /// Opens the site and an empty cache. Nothing that runs is touched.
    ///
    /// # Errors
    /// A sentence that says what is missing.
    pub(super) fn prepare(config: &Config, engines: usize) -> Result<Serving, String> {
        let root = &config.site.root;
        let site = Site::open(root, site_options(config))
            .map_err(|error| format!("{} cannot be served: {error}", root.display()))?;
        let cache = Cache::new(CacheConfig {
            capacity: config.cache.size.0,
            max_pinned_object: config.cache.max_pinned_object.0,
            engines,
        });
        let cache = cache.map_err(|error| format!("a cache of {} cannot be made: {error}", config.cache.size))?;
        let site = Arc::new(site);
        let watch = Watch::start(site.clone(), cache.clone())
            .map_err(|error| format!("{} cannot be watched: {error}", root.display()))?;
        let limits = &config.limits;
        let settings = Settings {
            site,
            cache,
            limits: head_limits(limits),
            header_timeout: limits.header_timeout.0,
            idle_timeout: limits.idle_timeout.0,
            min_rate: limits.min_rate.0,
            body_drain: limits.body_drain.0,
        };
        Ok(Serving { settings: Arc::new(settings), _watch: watch })
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.clone()
    }
}

fn site_options(config: &Config) -> SiteOptions {
    let site = &config.site;
    let rule = |rule: &config::CacheControlRule| {
        let applies_to = match (&rule.prefix, &rule.extension) {
            (Some(prefix), _) => Selector::Prefix(prefix.clone()),
            (None, Some(extension)) => Selector::Extension(extension.clone()),
            (None, None) => Selector::Everything,
        };
        CacheRule { applies_to, value: rule.value.clone() }
    };
    let default =
        site.cache_control.iter().map(|value| CacheRule { applies_to: Selector::Everything, value: value.clone() });
    SiteOptions {
        index: site.index.clone(),
        listing: site.listing,
        dotfiles: site.dotfiles,
        follow_symlinks_outside: site.follow_symlinks,
        precompressed: site.precompressed,
        compress: site.compress,
        cache_control: site.cache_control_rules.iter().map(rule).chain(default).collect(),
        max_pinned_object: config.cache.max_pinned_object.0,
        revalidate_after: config.cache.revalidate.0,
        ..SiteOptions::default()
    }
}

fn head_limits(limits: &config::Limits) -> Limits {
    Limits {
        head: limits.header_size.0 as usize,
        fields: limits.headers as usize,
        target: limits.target.0 as usize,
        ..Limits::default()
    }
}

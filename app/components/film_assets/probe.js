// Probe: what tests, benchmarks and the recording of the README read, window.__fssdFilm[key].

export function publish(film) {
  globalThis.__fssdFilm ??= {};
  globalThis.__fssdFilm[film.model.header.key] = {
    get position() {
      return film.clock.position;
    },
    get step() {
      return film.model.header.steps[film.clock.nearest];
    },
    get playing() {
      return film.clock.playing;
    },
    get resting() {
      return !film.clock.playing && !film.morph && !film.request;
    },
    get frames() {
      return film.stats.frames;
    },
    get frameMs() {
      return film.stats.frameMs;
    },
    get renderer() {
      return film.painter?.name;
    },
    get mode() {
      return film.mode;
    },
    get version() {
      return film.model.header.version;
    },
    get shown() {
      return film.shownOrder.length;
    },
    get theme() {
      return film.theme;
    },
    get pins() {
      return [...film.pins];
    },
    /** Pixels (device) of the points' canvas that differ from the ground: what is really drawn. */
    inked() {
      const { width, height } = film.parts.under;
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      const ctx = canvas.getContext("2d", { willReadFrequently: true });
      const read = () => new Uint32Array(ctx.getImageData(0, 0, width, height).data.buffer);
      ctx.drawImage(film.parts.under, 0, 0);
      const ground = read();
      film.paint();
      ctx.drawImage(film.parts.points, 0, 0);
      return read().reduce((sum, value, i) => sum + (value !== ground[i]), 0);
    },
    pixelOf: (index) => film.pixelOf(index),
    trailOf: (index) => film.trailOf(index),
    circles: () => film.moment().circles,
    seek: (position) => film.scrub(position),
    /** Milliseconds of `times` whole frames over the film, sorted. */
    measure(times) {
      const spent = [];
      for (let n = 0; n < times; n++) {
        film.clock.seek((n / times) * film.clock.last);
        const begun = performance.now();
        film.draw();
        spent.push(performance.now() - begun);
      }
      return spent.sort((a, b) => a - b);
    },
  };
}

// Points on a graphics card: both ends of an interval are vertex attributes, the shader mixes them. Positions go there once.
import { drawMarker } from "../scatter_assets/2_markers.js";

const VERTEX = `#version 300 es
in vec2 a; in vec2 b; in float style;
uniform float mixing; uniform vec2 zoom; uniform vec2 centre; uniform float size;
flat out float cell;
void main() {
  gl_Position = vec4(centre + zoom * mix(a, b, mixing), 0.0, 1.0);
  gl_PointSize = size;
  cell = style;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
uniform sampler2D markers; uniform float cells;
flat in float cell;
out vec4 colour;
void main() {
  colour = texture(markers, vec2((cell + gl_PointCoord.x) / cells, gl_PointCoord.y));
}`;
const SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i;

/** Whether a graphics card draws here: WebGL computed by the processor is slower than our own stamps. */
export function hasGraphicsCard() {
  try {
    const gl = document.createElement("canvas").getContext("webgl2");
    if (!gl) return false;
    const exposed = gl.getExtension("WEBGL_debug_renderer_info");
    const name = String(gl.getParameter(exposed ? exposed.UNMASKED_RENDERER_WEBGL : gl.RENDERER));
    gl.getExtension("WEBGL_lose_context")?.loseContext();
    return !SOFTWARE.test(name);
  } catch {
    return false;
  }
}

export class GlPoints {
  /** Throws where WebGL 2 is not to be had; `onLost` is called when the card is taken away. */
  constructor(canvas, onLost) {
    this.name = "webgl";
    this.canvas = canvas;
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true, preserveDrawingBuffer: false });
    if (!gl) throw new Error("no WebGL 2");
    this.gl = gl;
    this.lost = (event) => {
      event.preventDefault();
      onLost();
    };
    canvas.addEventListener("webglcontextlost", this.lost);
    const program = (this.program = this.#program());
    gl.useProgram(program);
    this.at = Object.fromEntries(["mixing", "zoom", "centre", "size", "cells"].map((n) => [n, gl.getUniformLocation(program, n)]));
    this.places = ["a", "b", "style"].map((n) => gl.getAttribLocation(program, n));
    this.places.forEach((place) => gl.enableVertexAttribArray(place));
    [this.points, this.styled, this.elements] = [gl.createBuffer(), gl.createBuffer(), gl.createBuffer()];
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [name, value] of [
      [gl.TEXTURE_MIN_FILTER, gl.LINEAR],
      [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE],
      [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
    ]) {
      gl.texParameteri(gl.TEXTURE_2D, name, value);
    }
    gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, true);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  destroy() {
    this.canvas.removeEventListener("webglcontextlost", this.lost);
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  #program() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, source] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(`film: ${gl.getProgramInfoLog(program)}`);
    return program;
  }

  /** A new size; the still scene lies on a canvas of its own beneath. */
  setBase({ width, height }) {
    [this.canvas.width, this.canvas.height] = [width, height];
    this.gl.viewport(0, 0, width, height);
  }

  setStyles(styles, radius, ratio, halo) {
    const { gl } = this;
    const size = 2 * Math.ceil((radius * 1.5 + 2) * ratio) + 1;
    const canvas = document.createElement("canvas");
    canvas.width = size * styles.length;
    canvas.height = size;
    const ctx = canvas.getContext("2d");
    styles.forEach(({ marker, colour }, k) => {
      ctx.setTransform(ratio, 0, 0, ratio, (k + 0.5) * size, size / 2);
      drawMarker(ctx, marker, 0, 0, radius, colour, halo);
    });
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, canvas);
    gl.uniform1f(this.at.size, size);
    gl.uniform1f(this.at.cells, styles.length);
    this.ratio = ratio;
  }

  setPoints(order, styleOf) {
    const { gl } = this;
    this.shown = order.length;
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.elements);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, order, gl.STATIC_DRAW);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.styled);
    gl.bufferData(gl.ARRAY_BUFFER, Float32Array.from(styleOf), gl.STATIC_DRAW);
    gl.vertexAttribPointer(this.places[2], 1, gl.FLOAT, false, 0, 0);
  }

  load(track) {
    const { gl } = this;
    this.track = track;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.points);
    gl.bufferData(gl.ARRAY_BUFFER, track.positions, gl.STATIC_DRAW);
  }

  draw(position, { scale, cx, cy }) {
    const { gl, at, places, track, ratio } = this;
    const { width, height } = this.canvas;
    const k = Math.min(Math.floor(position), track.frames - 1);
    const next = Math.min(k + 1, track.frames - 1);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.points);
    gl.vertexAttribPointer(places[0], 2, gl.FLOAT, false, 0, 8 * track.count * k);
    gl.vertexAttribPointer(places[1], 2, gl.FLOAT, false, 0, 8 * track.count * next);
    gl.uniform1f(at.mixing, position - k);
    gl.uniform2f(at.zoom, (2 * scale * ratio) / width, (2 * scale * ratio) / height);
    gl.uniform2f(at.centre, (2 * cx * ratio) / width - 1, 1 - (2 * cy * ratio) / height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.drawElements(gl.POINTS, this.shown, gl.UNSIGNED_INT, 0);
    return { outside: null };
  }
}

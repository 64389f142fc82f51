// Put into the page before its own script: hears whatever is connected to the speakers, for tests to ask about.
(() => {
  const connect = AudioNode.prototype.connect;
  const heard = (window.heard = { blocks: [], recording: false });
  AudioNode.prototype.connect = function (target, ...rest) {
    if (target instanceof AudioDestinationNode && target.context instanceof AudioContext) listen(this);
    return connect.call(this, target, ...rest);
  };

  const RECORDER = `
    class Recorder extends AudioWorkletProcessor {
      process([input]) {
        this.port.postMessage({ at: currentTime, samples: input[0]?.slice() ?? new Float32Array(128) });
        return true;
      }
    }
    registerProcessor("recorder", Recorder);
  `;

  function listen(source) {
    const analyser = new AnalyserNode(source.context, { fftSize: 4096 });
    connect.call(source, analyser);
    Object.assign(heard, { source, analyser, recorder: null });
  }

  /** In the sound's own thread nothing is missed, however busy the machine is; but only where the policy is lifted. */
  async function startRecorder() {
    const { context } = heard.source;
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([RECORDER], { type: "text/javascript" })));
    heard.recorder = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0 });
    heard.recorder.port.onmessage = ({ data }) => heard.recording && heard.blocks.push(data);
    connect.call(heard.source, heard.recorder);
    // With its first worklet a context moves to another thread, and its clock may step in the meantime.
    await recordBlocks(1);
  }

  async function recordBlocks(seconds) {
    heard.blocks = [];
    heard.recording = true;
    const wanted = seconds * heard.source.context.sampleRate;
    while (heard.blocks.length * 128 < wanted) await new Promise((resolve) => setTimeout(resolve, 50));
    heard.recording = false;
  }

  /** The loudest sample of the last tenth of a second. */
  heard.level = () => {
    if (!heard.analyser) return 0;
    const samples = new Float32Array(heard.analyser.fftSize);
    heard.analyser.getFloatTimeDomainData(samples);
    return samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
  };

  /** Records so many seconds; returns the first channel's samples, and when the first of them sounded. */
  heard.record = async (seconds) => {
    if (!heard.recorder) await startRecorder();
    await recordBlocks(seconds);
    return { samples: heard.blocks.flatMap((block) => Array.from(block.samples)), at: heard.blocks[0].at };
  };
})();

// A level as it is shown: dBFS, or dB SPL where the site's microphones are calibrated and the loudness of 0 dBFS is known.
export const shift = ({ full_scale_spl_db: db }) => db ?? 0;
export const unit = ({ full_scale_spl_db: db }) => (typeof db === "number" ? "dB SPL" : "dBFS");
export const loudness = (dbfs, about, digits = 0) => `${(dbfs + shift(about)).toFixed(digits)} ${unit(about)}`;

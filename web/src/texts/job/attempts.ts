// Why an attempt failed, in a few words: one text for each code of a failure.
import { texts } from "../say";

export const FAILED_WITH = texts({
  model_not_found: ["the model was not found", "找不到模型"],
  model_refused: ["the model is not supported", "不支持该模型"],
  dataset_not_found: ["the dataset was not found", "找不到数据集"],
  dataset_invalid: ["the dataset is invalid", "数据集无效"],
  dataset_too_small: ["the dataset is too small", "数据集过小"],
  spec_refused: ["the settings do not fit the model or the device", "配置与模型或设备不匹配"],
  oom_gpu: ["out of GPU memory", "显存不足"],
  oom_host: ["out of host memory", "主机内存不足"],
  loss_not_finite: ["the loss was not finite", "loss 为 NaN/Inf"],
  loss_zero: ["the loss was zero", "loss 为 0"],
  adapter_frozen: ["the adapter did not change", "适配器没有变化"],
  no_progress: ["no progress", "长时间没有进展"],
  disk_full: ["disk full", "磁盘已满"],
  device_failed: ["the device failed", "设备故障"],
  device_unusable: ["the device failed", "设备故障"],
  child_killed: ["killed by the system", "被系统终止"],
  upload_failed: ["the upload failed", "上传失败"],
  crashed: ["crashed", "进程崩溃"],
});

/** For processes that did not state a reason themselves. */
export const ENDED_BY = texts({
  killed_by_signal: ["killed by signal {signal}", "被信号 {signal} 终止"],
  crashed_by_signal: ["crashed with signal {signal}", "进程崩溃（信号 {signal}）"],
  crashed_with_code: ["crashed with exit code {code}", "进程崩溃（退出码 {code}）"],
});

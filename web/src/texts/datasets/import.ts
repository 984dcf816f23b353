// Text for importing a dataset from the hub.
import { texts } from "../say";

export const IMPORT = texts({
  open: ["Import from the Hub", "从 Hub 导入"],
  hub: ["Repository", "仓库"],
  split: ["Split", "数据划分（split）"],
  revision: ["Revision", "版本"],
  newest: ["newest commit", "最新提交"],
  more: ["Config, format and columns", "配置、格式与列"],
  config: ["Config", "配置（config）"],
  default_config: ["default", "默认"],
  detected: ["detected from the columns", "根据列名识别"],
  columns: ["Columns", "列"],
  columns_invalid: [
    "Columns: write each as the format's name, =, and the dataset's name, separated by commas: instruction=question, output=answer.",
    "列：按“格式列名=数据集列名”填写，用逗号分隔，例如 instruction=question, output=answer。",
  ],
  start: ["Import", "导入"],
  note: [
    "A worker that may use the Hub downloads the rows; the server then checks them like an uploaded file. To import only part of a split, enter for example train[:1000].",
    "由允许访问 Hub 的工作节点下载，服务器再像上传文件一样校验。可只导入一部分，如 train[:1000]。",
  ],
  waiting: ["{name}: waiting for a worker…", "{name}：等待工作节点……"],
  preparing: ["{name}: preparing…", "{name}：准备中……"],
  downloading: ["{name}: {done} of {total} downloaded", "{name}：已下载 {done}，共 {total}"],
  done: ["{name} was imported at commit {revision}.", "已导入 {name}，提交 {revision}。"],
  cancel: ["Cancel the import", "取消导入"],
  source: ["Source", "来源"],
});

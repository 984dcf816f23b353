// Text for the frame around every page: header, banner, keyboard shortcuts.
import { texts } from "./say";

export const FRAME = texts({
  docs: ["API", "API"],
  other_language: ["中文", "English"],
  theme_auto: ["Theme: system", "主题：跟随系统"],
  theme_light: ["Theme: light", "主题：浅色"],
  theme_dark: ["Theme: dark", "主题：深色"],
  main_menu: ["Main", "主导航"],
  skip: ["Skip to content", "跳转到正文"],
  close: ["Close", "关闭"],
  unreachable: [
    "The server cannot be reached. Retrying. The data shown is {age} old.",
    "无法连接服务器，正在重试。当前显示的是 {age}前的数据。",
  ],
  no_connection: ["The server cannot be reached. Try again.", "无法连接服务器，请重试。"],
  no_response: [
    "The server did not respond within {seconds} s. It may still carry out the request; check before you try again.",
    "服务器在 {seconds} 秒内没有响应。请求仍可能被执行，请确认后再重试。",
  ],
  not_found: ["Page not found.", "页面不存在。"],

  keys: ["Keyboard shortcuts", "键盘快捷键"],
  key_next: ["next job", "下一个任务"],
  key_previous: ["previous job", "上一个任务"],
  key_open: ["open the job", "打开任务"],
  key_choose: ["select the job", "选择任务"],
  key_search: ["search", "搜索"],
  key_log_scale: ["log scale for the loss", "loss 对数坐标"],
  key_follow: ["follow the log", "日志自动滚动"],
  key_reset_zoom: ["reset the zoom", "重置缩放"],
  key_full_screen: ["full-screen chart", "图表全屏"],
  key_new: ["new job", "新建任务"],
  key_jobs: ["job list", "任务列表"],
  key_help: ["show this list", "显示本列表"],
  key_smoothing: ["turn smoothing on or off", "开启或关闭平滑"],
});

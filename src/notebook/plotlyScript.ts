/**
 * The inline script of a figure: it replaces the static picture by plotly's as soon as plotly.js is there. It runs in the reader's browser.
 */
import { scriptJson } from './escape';
import type { PlotlyFigure } from './plotlyFigure';

/** plotly.js of the installed version: as the notebook server delivers it, and the same bytes on a public mirror. */
export const PLOTLY = {
  file: 'node_modules/plotly.js-dist/plotly.js',
  url: 'https://cdn.jsdelivr.net/npm/plotly.js-dist@4.1.1/plotly.js',
  integrity: 'sha384-WQ1AwRTh1OMvkqdtW61RUvQ1VIvyOYAvC4bPxQnFwwyq15kpo+WXIhzrGljgSdeT',
};

/** Charts follow the page's width. No data leaves by a "Share chart" button, and MathJax does not read dollar signs in labels as TeX. */
export const CONFIG = { responsive: true, displaylogo: false, showSendToCloud: false, plotlyServerURL: '', typesetMath: false };

// plotly.js is loaded once a page: from the notebook's folder and those above it, nearest first, then from the mirror; where
// neither works, the picture stays. So it does where the page is narrower than a figure of fixed size: pictures shrink. `define` is
// hidden meanwhile, or libraries inside plotly.js would register with the RequireJS of Jupyter Notebook 6.
const DRAW = `function(name,figure,plotly){
function draw(){[].forEach.call(document.getElementsByClassName(name),function(place){
var picture=place.firstChild,target;if(!picture||picture.tagName!=="IMG"||picture.hidden)return;
if(figure.layout&&figure.layout.width>place.clientWidth)return;
picture.hidden=true;target=place.appendChild(document.createElement("div"));
new Promise(function(done){done(window.Plotly.newPlot(target,figure.data,figure.layout,figure.config))})
.then(function(){picture.remove()},function(){target.remove();picture.hidden=false})})}
function load(urls){var url=urls.shift();if(!url)return Promise.reject();
return new Promise(function(done,fail){var script=document.createElement("script"),define=window.define;
script.src=url;if(url===plotly.url){script.crossOrigin="anonymous";script.integrity=plotly.integrity}
if(define&&define.amd)window.define=undefined;
script.onload=script.onerror=function(event){window.define=define;event.type==="load"&&window.Plotly?done():fail()};
document.head.appendChild(script)}).catch(function(){return load(urls)})}
function urls(){var at=/^(.*?\\/)(?:(?:lab|doc)(?:\\/workspaces\\/[^/]+)?\\/tree|notebooks|tree)\\/(.+)$/.exec(location.pathname),found=[];
if(at)for(var folders=at[2].split("/").slice(0,-1);;folders.pop()){
found.push(at[1]+["files"].concat(folders,plotly.file).join("/"));if(!folders.length)break}
return found.concat(plotly.url)}
if(window.Plotly)return draw();
(window.dpgPlotly=window.dpgPlotly||load(urls())).then(draw,function(){})}`;

/** A script that draws `figure` in place of the picture in every element of class `className`. */
export const plotlyScript = (className: string, figure: PlotlyFigure): string =>
  `(${DRAW})(${scriptJson(className)},${scriptJson({ ...figure, config: CONFIG })},${scriptJson(PLOTLY)})`;
